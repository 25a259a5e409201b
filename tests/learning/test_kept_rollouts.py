"""Rejection sampling: correct rollouts are imitated in the ids that were sampled, and what no longer fits is an error."""

import json

import pytest
from makers import tiny
from playing import ANSWER, call, detail, making, play, zooming

from medrl.errors import MedrlError
from medrl.learning.demonstrations import imitated
from medrl.learning.kept_rollouts import kept_rollouts, read_keep
from medrl.record.run import Run

REPLIES = [call((28, 28, 56, 56)), ANSWER]


@pytest.fixture(scope="module")
def made():
    return making(tiny())


@pytest.fixture(scope="module")
def played(made):
    return play(made, REPLIES, zooming(), sample=detail(0))


def stored(tmp_path, *rollouts, **changes):
    """A run folder with these rollouts, their rows changed."""
    run = Run(tmp_path)
    run.write_rollouts(3, list(rollouts))
    path = tmp_path / "rollouts" / "step_000003.jsonl"
    rows = [{**json.loads(line), **changes} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def scored(rollout, value):
    rollout.scores = {"answer/score": value}
    return rollout


def test_kept_rollouts_are_imitated_token_for_token(tmp_path, made, played):
    wrong = scored(play(made, [ANSWER], zooming(), sample=detail(1)), 0.0)
    kept = kept_rollouts(
        stored(tmp_path, scored(played, 1.0), wrong, played), [detail(0), detail(1)], made, "answer", 1.0
    )
    assert [item.sample.id for item in kept.items] == [detail(0).id]
    assert kept.left_out == {"answer below 1": 1, "said before": 1}
    (again,) = imitated(made, [made.build(kept.items[0].sample)], zooming(), kept.items)
    assert again.token_ids == played.token_ids and again.mask == played.mask
    assert len(kept.items[0].said) == 2 and again.added is not None


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"end_reason": "length"}, "ended by length: 1"),
        ({"scores": {}}, "no score: 1"),
        ({"scores": {"answer/score": 0.5}}, "answer below 1: 1"),
        ({"sample_id": "other/1"}, "its sample other/1 is not in data.train"),
        ({"prompt": "else"}, "answers another prompt of phantom_detail/0"),
        ({"images": ["images/0.png"]}, "answers another pictures of phantom_detail/0"),
        ({"token_ids": [1, 2]}, "token_ids has 2. The file is damaged"),
    ],
)
def test_what_is_no_example_is_told(tmp_path, made, played, changes, told):
    with pytest.raises(MedrlError, match=told):
        kept_rollouts(stored(tmp_path, scored(played, 1.0), **changes), [detail(0)], made, "answer", 1.0)


def test_a_run_without_rollouts_is_an_error(tmp_path, made):
    with pytest.raises(MedrlError, match=r"no rollouts/step_\*\.jsonl there"):
        kept_rollouts(tmp_path, [detail(0)], made, "answer", 1.0)


@pytest.mark.parametrize(
    "given, told", [("bx=1", "has no reward 'bx'; it has box"), ("box=much", "'much' is not a number")]
)
def test_keep_names_a_reward_and_a_number(given, told):
    with pytest.raises(MedrlError, match=told):
        read_keep(given, ["box"])
    assert read_keep("box", ["box"]) == ("box", 1.0)
