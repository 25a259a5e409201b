"""Rollouts are scored alike with and without reward processes, and what it cost is counted."""

import copy

import pytest
from makers import prompts, rollout, tiny

from medrl.errors import MedrlError
from medrl.recipe import Reward
from medrl.scoring.loaded import load_rewards
from medrl.scoring.rewards import probe, score_rollouts
from medrl.scoring.spent import scoring_metrics
from medrl.scoring.workers.service import Service

HEAD = "import os, time\ndef compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):\n    "
GROUP = "def compute_group_scores(group, factor=1):\n    "


@pytest.fixture(scope="module")
def two():
    return prompts(tiny(), 2)


def made_of(prompts, texts):
    made = []
    for number, text in enumerate(texts):
        one = rollout(prompts[number % len(prompts)], [1, 2])
        one.text, one.attempt, one.advantage = text, number, None
        made.append(one)
    return made


def load(folder, timeout_s=1.0, **sources):
    given = {}
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
        given[name] = Reward(
            str(folder / f"{name}.py"), timeout_s=timeout_s, kwargs={"factor": 3} if name == "group" else {}
        )
    return load_rewards(given)


def test_scores_reasons_and_rewards_are_the_same_with_and_without_processes(tmp_path, two):
    rewards = load(
        tmp_path,
        each=HEAD + "return {'score': len(solution_str) / 7, 'note': 'x', 'kind': extra_info['kind'] == 'count'}",
        moody=HEAD + "return 1 / len(solution_str)",
        late="import asyncio\nasync " + HEAD.split("\n", 1)[1] + "await asyncio.sleep(0); return 0.3",
        group=GROUP + "return [factor * len(one['solution_str']) / len(group) for one in group]",
        wrong=GROUP + "return [1.0]",
    )
    here, there = (made_of(two, ["a", "", "abc", "ab", "abcd"]) for _ in range(2))
    for made in (here, there):
        made[4].missing["tokens"] = "may not train"
    score_rollouts(here, rewards)
    with Service(rewards, workers=2) as pool:
        score_rollouts(there, rewards, pool)
    for one, other in zip(here, there):
        assert (one.scores, one.missing, one.reward) == (other.scores, other.missing, other.reward)
        assert one.score_seconds.keys() == other.score_seconds.keys()
    assert "ZeroDivisionError: division by zero (moody.py line 3)" in there[1].missing["moody"]
    assert there[0].scores["group/score"] == 1.5 and "expected a list of 2 scores" in there[0].missing["wrong"]


def test_seconds_failures_and_timeouts_are_counted_for_each_reward(tmp_path, two):
    rewards = load(
        tmp_path, timeout_s=0.4,
        each=HEAD + "time.sleep(0.05 if solution_str != 'hang' else 60); return 1.0",
        dies=HEAD + "os._exit(1) if solution_str == 'hang' else 0; return float(solution_str)",
        group=GROUP + "return [0.0] * len(group)",
    )  # fmt: skip
    made = made_of(two, ["1", "2", "no", "hang"])
    with Service(rewards, workers=2) as pool:
        score_rollouts(made, rewards, pool)
    found = scoring_metrics(made)
    times = {name: found.pop(name) for name in list(found) if name.startswith("time/")}
    assert found == {
        "scoring/each/failed": 1, "scoring/each/timeouts": 1, "scoring/dies/failed": 2, "scoring/dies/timeouts": 0,
        "scoring/group/failed": 0, "scoring/group/timeouts": 0, "scoring/replaced": 2,
    }  # fmt: skip
    assert 0.4 <= times["time/scoring/each_max_s"] < 1.4 and 0.13 < times["time/scoring/each_s"] < 0.5
    assert len(times) == 6 and all(times.values())
    assert made[3].missing == {"each": "timeout after 0.4 s (killed)", "dies": "worker died: exit code 1"}
    assert made[0].reward == 2.0 and made[2].reward is None and copy.copy(made[0]).score_seconds


def test_a_trial_call_that_hangs_or_raises_is_told_with_its_place(tmp_path, two):
    rewards = load(tmp_path, timeout_s=0.4, fine=HEAD + "return 1.0", hangs=HEAD + "time.sleep(60)")
    with Service(rewards, workers=1) as pool:
        with pytest.raises(
            MedrlError, match=r"(?s)rewards\.hangs: .*hangs\.py .* trial reply .*timeout after 0\.4 s \(killed\)"
        ):
            probe(rewards, two[0], pool)
        probe(rewards[:1], two[0], pool)
    rewards = load(tmp_path, raises=HEAD + "return {}['nowhere']")
    with (
        Service(rewards, workers=1) as pool,
        pytest.raises(MedrlError, match=r'(?s)Traceback.*raises\.py", line 3.*nowhere'),
    ):
        probe(rewards, two[0], pool)
