"""The set reward: exact or F1, whatever form the row has; a superset is worth less than the set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.plugin import load_plugin

compute_score = load_plugin("rewards/multi_choice.py", "compute_score").target
OPTIONS = {"A": "Drusen", "B": "Exudate", "C": "Haemorrhage", "D": "Scar", "E": None}
ROW = {"options": OPTIONS}


def _score(answer: str, ground_truth: object = ("A", "C"), **kwargs: str) -> dict[str, float]:
    return compute_score("test", f"<answer>{answer}</answer>", ground_truth, ROW, **kwargs)


# F1 = 2 |both| / (2 + |chosen|): 1 + 2 letters -> 2/3, 3 -> 4/5, 4 -> 4/6, one right and one wrong -> 2/4
@pytest.mark.parametrize(
    ("answer", "exact", "f1"),
    [
        ("A, C", 1, 1),
        ("CA", 1, 1),
        ("A", 0, 2 / 3),
        ("A, B, C", 0, 0.8),
        ("ABCD", 0, 2 / 3),
        ("A, B", 0, 0.5),
        ("B", 0, 0),
    ],
)
def test_scores(answer, exact, f1):
    assert _score(answer) == {"score": exact, "answered": 1.0}
    assert _score(answer, mode="f1") == {"score": pytest.approx(f1), "answered": 1.0}


@pytest.mark.parametrize("answer", ["A or C", "A, C, G", "", "E", "yes"])
def test_unanswered_scores_nothing(answer):
    assert _score(answer) == _score(answer, mode="f1") == {"score": 0.0, "answered": 0.0}


@pytest.mark.parametrize(
    "ground_truth",
    ["A,C", "A, C", "AC", "c;a", ["A", "C"], '["A", "C"]', ("c", "a", "a"), ["Drusen", "the haemorrhage"], "drusen, C"],
)
def test_the_ground_truth_in_any_form(ground_truth):
    assert _score("A, C", ground_truth)["score"] == 1.0


@pytest.mark.parametrize("ground_truth", ["", [], "G", "A, G", ["E"], None, 3, "[", "AG"])
def test_a_ground_truth_that_names_no_option_is_an_error(ground_truth):
    with pytest.raises(ValueError, match="expected one or more of the options"):
        _score("A", ground_truth)


@pytest.mark.parametrize("options", [None, {}, "A", '["A"]'])
def test_a_row_without_options_is_an_error(options):
    with pytest.raises(ValueError, match="options"):
        compute_score("test", "A", "A", {"options": options})


def test_an_unknown_mode_is_an_error():
    with pytest.raises(ValueError, match="expected one of set, f1"):
        _score("A", mode="jaccard")


@given(st.sets(st.sampled_from("ABCD"), min_size=1), st.sets(st.sampled_from("ABCD"), min_size=1), st.randoms())
def test_order_repeats_and_bounds(chosen, right, random):
    letters = [*chosen, *chosen]
    random.shuffle(letters)
    for mode in ("set", "f1"):
        graded = _score(", ".join(letters), sorted(right), mode=mode)
        assert graded == _score(", ".join(sorted(chosen)), sorted(right, reverse=True), mode=mode)
        assert 0 <= graded["score"] <= 1
        assert (graded["score"] == 1) == (chosen == right)
