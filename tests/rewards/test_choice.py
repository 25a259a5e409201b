"""The choice reward: options in every shape a row can hold them, and a faulty row is an error, not a wrong answer."""

import pytest

from medrl.plugin import load_plugin

compute_score = load_plugin("rewards/choice.py", "compute_score").target
OPTIONS = {"A": "MRI", "B": "CT", "C": "Ultrasound", "D": None}
RIGHT, WRONG, UNREAD = ({"score": s, "answered": a} for s, a in ((1.0, 1.0), (0.0, 1.0), (0.0, 0.0)))


def _score(answer: str, ground_truth: object = "B", options: object = OPTIONS) -> dict[str, float]:
    return compute_score("test", f"<answer>{answer}</answer>", ground_truth, {"options": options})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("B", RIGHT), ("b) CT", RIGHT), ("ct", RIGHT), ("A", WRONG), ("A or B", UNREAD), ("D", UNREAD), ("", UNREAD)],
)
def test_scores(answer, expected):
    assert _score(answer) == expected


@pytest.mark.parametrize("ground_truth", ["B", "b", " B ", "CT", "ct.", "the CT"])
def test_the_ground_truth_may_be_a_letter_or_the_text(ground_truth):
    assert _score("B", ground_truth) == RIGHT
    assert _score("A", ground_truth) == WRONG


@pytest.mark.parametrize(
    "options", ['{"A": "MRI", "B": "CT"}', '{"A": "MRI", "B": "CT", "E": null}', {"A": 1, "B": 2.5}, {"A": "", "B": ""}]
)
def test_options_as_json_numbers_or_letters_alone(options):
    assert _score("B", "B", options) == RIGHT


def test_a_letter_is_right_before_a_text_is():
    assert _score("B", "B", {"A": "B", "C": "D", "B": "vitamin"})["answered"] == 1.0


@pytest.mark.parametrize("options", [None, {}, {"A": None}, "A, B", "[1]", "3", ["MRI", "CT"], {"A": ["MRI"]}])
def test_a_row_without_usable_options_is_an_error(options):
    with pytest.raises(ValueError, match=r'extra_info\["options"\] is .*; expected letters and their texts'):
        _score("B", "B", options)


def test_a_row_without_extra_info_is_an_error():
    with pytest.raises(ValueError, match="options"):
        compute_score("test", "<answer>B</answer>", "B")


@pytest.mark.parametrize(("ground_truth", "why"), [("D", "none"), ("PET", "none"), ("", "none"), (None, "none")])
def test_a_ground_truth_that_is_no_option_is_an_error(ground_truth, why):
    with pytest.raises(ValueError, match=f"is {why} of the options"):
        _score("B", ground_truth)


def test_a_ground_truth_that_is_two_options_is_an_error():
    with pytest.raises(ValueError, match="is several of the options"):
        _score("B", "CT", {"A": "CT", "B": "ct."})
