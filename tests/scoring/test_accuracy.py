"""Which reward judges a question where a recipe has several, one for each kind."""

import pytest
from makers import recipe

from medrl.data.sample import make_sample
from medrl.scoring.accuracy import judge_of

CLOSED_AND_OPEN = {
    "format": {"use": "rewards/format.py", "weight": 0.1},
    "closed": {"use": "rewards/choice.py", "kinds": ["choice"]},
    "open": {"use": "rewards/open_short.py", "weight": 0.9, "kinds": ["open"]},
    "strict": {"use": "rewards/open_short.py", "weight": 0.2, "kinds": ["open"]},
}


@pytest.mark.parametrize(
    ("kind", "accuracy", "judge"),
    [
        ("choice", None, "closed"),  # the heaviest of all
        ("open", None, "open"),  # which has no say here, so the heaviest that names this kind
        ("open", "strict", "strict"),
        ("choice", "strict", "closed"),
        ("count", None, None),  # not the format reward, which scores any kind
        ("count", "format", "format"),  # unless a recipe says so
    ],
)
def test_the_judge_of_a_kind(kind, accuracy, judge):
    given = recipe("unused", rewards=CLOSED_AND_OPEN, scoring={"accuracy": accuracy})
    sample = make_sample(id="t", data_source="t", question="?", images=[], ground_truth="A", kind=kind, split="train")
    assert judge_of(given, sample) == judge
