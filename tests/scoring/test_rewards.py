"""A reward's fault is told before the run, or leaves its rollout missing with a reason; it is never a silent 0."""

import math

import pytest
from makers import prompts, rollout, tiny

from medrl.errors import MedrlError
from medrl.recipe import Reward
from medrl.scoring.loaded import load_rewards
from medrl.scoring.rewards import common_reasons, missing_share, probe, score_rollouts


@pytest.fixture(scope="module")
def prompt():
    return prompts(tiny(), 1)[0]


@pytest.fixture
def load(tmp_path):
    def make(source, name="mine.py", **kwargs):
        path = tmp_path / name
        path.write_text(source)
        return load_rewards({"mine": Reward(use=str(path), kwargs=kwargs)})

    return make


HEAD = "def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):\n    "


def scored(rewards, prompt, text="<answer>3</answer>"):
    made = rollout(prompt, [1, 2])
    made.text = text
    score_rollouts([made], rewards)
    return made


def test_weights_and_components(load, prompt, tmp_path):
    (tmp_path / "b.py").write_text(HEAD + "return 0.5")
    (tmp_path / "a.py").write_text(HEAD + "return {'score': 1.0, 'iou': 0.25, 'note': 'not a number'}")
    both = load_rewards({"a": Reward(str(tmp_path / "a.py"), 2.0), "b": Reward(str(tmp_path / "b.py"), -1.0)})
    made = scored(both, prompt)
    assert made.reward == 1.5 and made.scores == {"a/score": 1.0, "a/iou": 0.25, "b/score": 0.5} and not made.missing


def test_async_reward_and_kwargs_and_other_function_name(tmp_path, prompt):
    path = tmp_path / "r.py"
    path.write_text(
        "async def mine(data_source, solution_str, ground_truth, extra_info=None, *, bonus):\n    return bonus"
    )
    rewards = load_rewards({"x": Reward(f"{path}:mine", kwargs={"bonus": 0.75})})
    assert scored(rewards, prompt).reward == 0.75


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (HEAD + "raise RuntimeError('server away')", "RuntimeError: server away (mine.py line 2)"),
        (HEAD + "return float('nan')", "expected finite numbers"),
        (HEAD + "return {'score': float('inf')}", "expected finite numbers"),
        (HEAD + "return {'accuracy': 1}", "without 'score'"),
        (HEAD + "return None", "expected finite numbers"),
        (HEAD + "return 'good'", "expected finite numbers"),
    ],
)
def test_a_failing_reward_leaves_a_reason_not_a_zero(load, prompt, source, reason):
    rewards = load(source)
    made = scored(rewards, prompt)
    assert made.reward is None and reason in made.missing["mine"] and missing_share([made]) == 1.0
    assert reason in common_reasons([made])
    with pytest.raises(MedrlError, match="raised on a trial reply"):
        probe(rewards, prompt)


@pytest.mark.parametrize(
    ("source", "kwargs", "told"),
    [
        ("import nothing_of_the_kind\n" + HEAD + "return 1", {}, "No module named 'nothing_of_the_kind'"),
        ("def compute_score(\n", {}, "SyntaxError"),
        ("def other(a): return 1", {}, "has no `compute_score` or `compute_group_scores`. It offers: other"),
        ("compute_score = 3", {}, "expected a function"),
        ("def compute_score(reply, truth): return 1", {}, "cannot be called as"),
        (HEAD.replace(", **kwargs", "") + "return 1", {"wieght": 3}, "unexpected keyword argument 'wieght'"),
    ],
)
def test_what_does_not_load_or_fit_is_refused_before_the_run(load, source, kwargs, told):
    with pytest.raises(MedrlError) as caught:
        load(source, **kwargs)
    assert told in str(caught.value) and "rewards.mine" in str(caught.value)


def test_a_missing_file_names_where_it_was_looked_for(tmp_path):
    with pytest.raises(MedrlError, match=r"nowhere\.py: no such file. Looked at"):
        load_rewards({"x": Reward("nowhere.py")}, beside=tmp_path)


def test_import_errors_come_with_the_full_traceback(load):
    with pytest.raises(MedrlError, match=r'(?s)Traceback.*mine\.py", line 2.*ZeroDivisionError'):
        load("x = 1\ny = x / 0\n")


def test_one_reward_cannot_change_what_the_next_sees(tmp_path, prompt):
    (tmp_path / "a.py").write_text(HEAD + "extra_info.clear(); return 1")
    (tmp_path / "b.py").write_text(HEAD + "return float('image_size' in extra_info and 'kind' in extra_info)")
    made = scored(load_rewards({k: Reward(str(tmp_path / f"{k}.py")) for k in "ab"}), prompt)
    assert made.reward == 2.0 and prompt.sample.extra_info["kind"] == "count"


def test_reasons_are_counted_and_the_commonest_come_first(prompt):
    made = [rollout(prompt, [1]) for _ in range(6)]
    for number, one in enumerate(made):
        one.missing = {"x": "twice" if number < 2 else "thrice" if number < 5 else "once"}
    assert [line.split(" ", 4)[2] for line in common_reasons(made).splitlines()] == ["3", "2", "1"]
    assert math.isclose(missing_share(made), 1.0)
