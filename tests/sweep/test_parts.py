"""A mistake in what the runs load is told before the first of them starts."""

import pytest
from small_sweep import write_small

from medrl.errors import MedrlError
from medrl.sweep.parts import check_parts
from medrl.sweep.plan import plan_sweep

UADT = {"group_size": 2, "advantage": "uadt", "kwargs": {"lambda": 0.5}}


@pytest.fixture
def check(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def plan_and_check(block, **sections):
        check_parts(plan_sweep(write_small(tmp_path, block, **sections), given_as="mine.yaml"), tmp_path)

    return plan_and_check


@pytest.mark.parametrize(
    "block, sections, told",
    [
        ({"metric": "val/reward/anwser/score"}, {}, ["every run: sweep.metric=", "did you mean answer?"]),
        ({"metric": "val/reward/answer"}, {}, ["expected val/reward, or val/reward/<a reward's name>/score"]),
        (
            {"grid": {"algorithm.advantage": ["grpo", "udat"]}},
            {},
            ["advantage=udat,seed=0 and 1 more: algorithm.advantage=udat: expected one of grpo"],
        ),
        ({"grid": {"algorithm.kwargs.lamda": [0.5]}}, {"algorithm": UADT}, ["every run: ", "lamda"]),
        (  # what the base says stays under every point
            {"grid": {"algorithm.advantage": ["uadt", "grpo"]}},
            {"algorithm": UADT},
            ["1 mistake", "advantage=grpo,seed=0 and 1 more: algorithm.kwargs of algorithm.advantage=grpo", "lambda"],
        ),
        (
            {"grid": {"rewards.answer.use": ["reward.py", "rewards/cuont.py"]}},
            {},
            ["use=rewards-cuont.py,seed=0 and 1 more: rewards.answer: ", "cuont.py"],
        ),
        ({"grid": {"rewards.answer.kwargs.brokn": [True]}}, {}, ["every run: rewards.answer: ", "brokn"]),
        ({"list": [{"prompt.style": "thnik"}]}, {}, ["every run: prompt.style: no style 'thnik'"]),
        ({"list": [{"env.use": "nowhere.py"}, {"optimizer.lr": 1e-3}]}, {}, ["use=nowhere.py,seed=0 and 1 more: "]),
    ],
)
def test_a_part_that_does_not_load_is_told_with_the_runs_that_name_it(check, block, sections, told):
    with pytest.raises(MedrlError) as raised:
        check({**block, "seeds": 2}, **sections)
    assert all(words in str(raised.value) for words in told), str(raised.value)


@pytest.mark.parametrize("metric", ["val/reward", "val/reward/answer/score", "val/parse_rate"])
def test_parts_that_load_pass(check, metric):
    grid = {"algorithm.advantage": ["grpo", "rloo"], "rewards.answer.kwargs.broken": [False, True]}
    check({"grid": grid, "metric": metric, "seeds": 2})
