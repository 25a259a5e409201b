"""Sets of names and runs of words, against definitions written out."""

import random

import pytest

from medrl.dialogue.answer_terms import make_vocabulary
from medrl.scoring.parts.rouge import rouge_l
from medrl.scoring.parts.sets import graded_score, named_score, wanted_terms

WORDS = make_vocabulary({"edema": ["edema", "oedema"], "mass": ["mass"], "rib fracture": ["rib fracture"]})


def longest_common(one, other):
    lengths = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, left in enumerate(one):
        for j, right in enumerate(other):
            lengths[i + 1][j + 1] = lengths[i][j] + 1 if left == right else max(lengths[i][j + 1], lengths[i + 1][j])
    return lengths[-1][-1]


def test_rouge_l_is_the_longest_common_subsequence():
    rng = random.Random(0)
    for _ in range(500):
        one, other = (rng.choices("abcde", k=rng.randrange(1, 90)) for _ in range(2))
        assert rouge_l(one, other) == pytest.approx(2 * longest_common(one, other) / (len(one) + len(other)))


def test_naming_everything_earns_less_than_finding_one():
    universe = [f"t{number}" for number in range(8)]
    for right in range(1, 8):
        wanted = universe[:right]
        assert named_score(universe, wanted, universe)["score"] == 0.0
        assert named_score(wanted[:1], wanted, universe)["score"] > 0.0
        assert named_score(wanted, wanted, universe)["score"] == 1.0
        for extra in range(right, 8):  # each name too many costs more
            named = universe[:extra]
            assert (
                named_score(named, wanted, universe)["score"]
                >= named_score(universe[: extra + 1], wanted, universe)["score"]
            )


def test_a_degree_between_counts_in_part():
    assert graded_score({"a": 0.5, "b": 1.0}, {"a": 1.0, "b": 1.0}, "abcd")["score"] == pytest.approx(0.75)
    assert graded_score({"c": 0.5}, {"a": 1.0}, "abcd") == {"score": 0.0, "f1": 0.0}


@pytest.mark.parametrize(
    "ground_truth, names",
    [
        (["oedema", "Mass"], ["edema", "mass"]),
        ('{"edema": "yes", "mass": false, "rib fracture": null}', ["edema"]),
        ({"edema": True, "mass": "absent"}, ["edema"]),
        ("rib fracture; oedema", ["rib fracture", "edema"]),
        (None, []),
        ("[]", []),
        ("", []),
    ],
)
def test_what_a_row_wants(ground_truth, names):
    assert wanted_terms(ground_truth, WORDS) == names


@pytest.mark.parametrize("ground_truth", ["fibrosis", ["edema mass"], True, 7, [["edema", "mass"]]])
def test_a_name_that_is_no_term_is_told(ground_truth):
    with pytest.raises(ValueError, match="of the terms edema, mass, rib fracture"):
        wanted_terms(ground_truth, WORDS)
