"""Rewards of a group: what they are given, what their weight adds, and what becomes of one that fails."""

import pytest
from makers import prompts, rollout, tiny

from medrl.errors import MedrlError
from medrl.recipe import Reward
from medrl.scoring.loaded import load_rewards
from medrl.scoring.rewards import probe, score_rollouts
from medrl.scoring.signature import ARGUMENTS

HEAD = "def compute_group_scores(group, **kwargs):\n    "
EACH = "def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):\n    "


@pytest.fixture(scope="module")
def two():
    return prompts(tiny(), 2)


@pytest.fixture
def load(tmp_path):
    def make(source, function="", each="", **given):
        (tmp_path / "mine.py").write_text(source)
        (tmp_path / "each.py").write_text(each or EACH + "return 1.0")
        mine = Reward(f"{tmp_path / 'mine.py'}{function}", **given)
        return load_rewards({"mine": mine, "each": Reward(str(tmp_path / "each.py"))})

    return make


def attempts(prompt, *texts):
    made = [rollout(prompt, [1, 2]) for _ in texts]
    for number, (one, text) in enumerate(zip(made, texts)):
        one.text, one.attempt, one.advantage = text, number, None
    return made


LONGEST = HEAD + "most = max(len(one['solution_str']) for one in group)\n    "
LONGEST += "return [{'score': float(len(one['solution_str']) == most), 'of': len(group)} for one in group]"


def test_every_prompt_is_a_group_of_its_own_and_the_weight_is_added(load, two):
    first, second = attempts(two[0], "a", "abc", "ab"), attempts(two[1], "abcdef")
    score_rollouts([first[0], second[0], *first[1:]], load(LONGEST, weight=0.5))
    assert [one.reward for one in first] == [1.0, 1.5, 1.0] and second[0].reward == 1.5
    assert first[1].scores == {"each/score": 1.0, "mine/score": 1.0, "mine/of": 3.0}
    assert second[0].scores["mine/of"] == 1.0


def test_each_member_comes_with_the_arguments_of_compute_score_in_order_of_attempts(load, two):
    rewards = load(HEAD + "group[0]['extra_info'].clear(); kept.append(group); return [0] * len(group)\nkept = []")
    made = attempts(two[0], "x", "y")
    score_rollouts(made, rewards)
    score_rollouts(made, rewards)
    kept = rewards[0].plugin.target.__globals__["kept"]
    assert [list(one) for one in kept[0]] == [list(ARGUMENTS)] * 2
    assert [one["solution_str"] for one in kept[0]] == ["x", "y"]
    assert kept[0][1]["ground_truth"] == two[0].ground_truth and kept[0][1]["extra_info"]["kind"] == "count"
    assert "kind" in two[0].sample.extra_info, "what a reward does to its copy is nobody else's"


@pytest.mark.parametrize(
    "source, function",
    [
        (HEAD + "return [2] * len(group)", ""),
        (HEAD + "return [2] * len(group)\n" + EACH + "return 0", ":compute_group_scores"),
        ("def against_each_other(group):\n    return [2] * len(group)", ":against_each_other"),
        ("async def compute_group_scores(attempts):\n    return [2] * len(attempts)", ""),
        ("def compute_group_scores(group):\n    return tuple({'score': 2} for _ in group)", ""),
    ],
)
def test_ways_to_write_one(load, two, source, function):
    made = attempts(two[0], "x", "y")
    rewards = load(source, function)
    probe(rewards, two[0])
    score_rollouts(made, rewards)
    assert [one.reward for one in made] == [3.0, 3.0]


@pytest.mark.parametrize(
    "source, function, kwargs, told",
    [
        (
            HEAD + "return [0]\n" + EACH + "return 0",
            "",
            {},
            "has both compute_score and compute_group_scores. Name one",
        ),
        ("def compute_group_scores(group, rate): return []", "", {}, "missing a required argument: 'rate'"),
        ("def compute_group_scores(group): return []", "", {"rte": 1}, "unexpected keyword argument 'rte'"),
        ("def compute_group_scores(): return []", "", {}, "too many positional arguments"),
        ("compute_group_scores = 3", "", {}, "expected a function"),
    ],
)
def test_what_cannot_be_called_is_refused_before_the_run(load, source, function, kwargs, told):
    with pytest.raises(MedrlError) as caught:
        load(source, function, kwargs=kwargs)
    assert told in str(caught.value) and "rewards.mine" in str(caught.value)


@pytest.mark.parametrize(
    "body, missing",
    [
        ("raise RuntimeError('server away')", ["RuntimeError: server away (mine.py line 2)"] * 3),
        ("return [1.0]", ["returned 1 of them; expected a list of 3 scores"] * 3),
        ("return 1.0", ["returned 1.0; expected a list of 3 scores"] * 3),
        ("return None", ["returned None; expected a list"] * 3),
        ("return [1.0, None, float('nan')]", [None, "expected finite numbers", "expected finite numbers"]),
        ("return [{'score': 1.0}, {'other': 2}, 0]", [None, "without 'score'", None]),
    ],
)
def test_a_failing_one_leaves_reasons_and_no_zeros(load, two, body, missing):
    rewards = load(HEAD + body)
    made = attempts(two[0], "x", "y", "z")
    score_rollouts(made, rewards)
    for one, reason in zip(made, missing):
        assert (one.reward is None) == (reason is not None)
        assert reason is None or reason in one.missing["mine"]
        assert one.scores["each/score"] == 1.0
    with pytest.raises(MedrlError, match="raised on a trial reply"):
        probe(rewards, two[0])


def test_a_member_without_a_score_stays_in_the_group_and_stays_missing(load, two):
    each = EACH + "return 1 / (solution_str != 'y')"
    made = attempts(two[0], "x", "y", "z")
    score_rollouts(made, load(HEAD + "return [len(group)] * len(group)", each=each))
    assert [one.reward for one in made] == [4.0, None, 4.0]
    assert "ZeroDivisionError" in made[1].missing["each"] and made[1].scores == {"mine/score": 3.0}


def test_a_rollout_refused_before_it_is_scored_is_shown_to_none_and_stands_in_no_group(load, two):
    made = attempts(two[0], "x", "y", "z")
    made[1].missing["tokens"] = "may not train"
    score_rollouts(
        made, load(HEAD + "return [len(group)] * len(group)", each=EACH + "return 1 / (solution_str != 'y')")
    )
    assert [one.reward for one in made] == [3.0, None, 3.0]
    assert made[1].missing == {"tokens": "may not train"} and made[1].scores == {}
    made[0].missing["tokens"] = made[2].missing["tokens"] = "neither"
    score_rollouts(made, load(HEAD + "return [1 / 0]"))
    assert all(list(one.missing) == ["tokens"] for one in made)


def test_one_that_does_not_apply_to_the_kind_adds_nothing(load, two):
    made = attempts(two[0], "x", "y")
    score_rollouts(made, load(HEAD + "raise RuntimeError", kinds=["box"]))
    assert [one.reward for one in made] == [1.0, 1.0] and not made[0].missing
