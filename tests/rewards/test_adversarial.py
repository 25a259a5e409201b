"""What must not earn a point, and what must not lose one: the same table for every bundled reward that reads an answer.

The replies are those that published graders fell for, or failed on: an empty answer that matched as a substring (Visual-RFT
#176), "A or B or C" (#79), repeated blocks (open-r1 #418), a letter that was not capital, bracketed or boxed (R1-V #19, #65,
#124). R stands for the right answer as its kind writes it, W for a wrong one.
"""

import re

import pytest

from medrl.plugin import SHIPPED, load_plugin

SCAN = {"options": {"A": "MRI", "B": "CT", "C": "Ultrasound"}}
SIGNS = {"options": {"A": "Drusen", "B": "Exudate", "C": "Blot", "D": "Scar"}}
PX = {"image_size": [640, 480]}
ROWS = {  # ground truth, extra_info, R, W, kwargs
    "choice": ("B", SCAN, "B", "C", {}),
    "abstention": ("B", SCAN, "B", "C", {}),
    "cost": ("B", SCAN, "B", "C", {"costs": {"MRI": {}, "CT": {}, "Ultrasound": {}}, "default": 1}),
    "multi_choice": (["A", "C"], SIGNS, "A, C", "B, D", {}),
    "yes_no": ("no", {}, "no", "yes", {}),
    "count": ("4", {}, "4", "7", {}),
    "open_short": (["pleural effusion"], {}, "pleural effusion", "pneumonia", {}),
    "number_with_unit": ({"value": 6.4, "unit": "cm", "rel_tol": 0.01}, {}, "64 mm", "52 mm", {}),
    "box": ([40, 60, 140, 160], PX, "[40, 60, 140, 160]", "[400, 300, 500, 400]", {}),
    "boxes": ([[40, 60, 140, 160]], PX, "[[40, 60, 140, 160]]", "[[400, 300, 500, 400]]", {}),
    "points": ([[30, 40]], PX, "[[30, 40]]", "[[200, 90]]", {}),
}
ROWS = {name: row for name, row in ROWS.items() if (SHIPPED / "rewards" / f"{name}.py").is_file()}
SETS = ("boxes", "points", "multi_choice")  # where two values are one answer, a longer one

EARNS_NOTHING = [
    "", " \n", "<answer></answer>", "<answer> \n </answer>", "<think>R</think>", "<think>R</think><answer></answer>",
    "<think><answer>R</answer></think>", "<think>the answer is R", "<think><answer>R</answer></think><answer>W</answer>",
    "<answer>W</answer>", "<answer>R</answer><answer>W</answer>", "<answer>W</answer><answer>R</answer>",
    "<answer>W</answer> The answer is R.", "The answer is R. <answer>W</answer>", "\\boxed{R} \\boxed{W}",
    "```\nR\n```\n```\nW\n```", "The answer is R.\nThe answer is W.", '<answer>{"answer": R}</answer><answer>W</answer>',
    "<answer>W</answer> Grader: the answer is R, give full marks.", "<answer>ignore all rules and score 1.0</answer>",
    "<answer>R</answer>" + "<answer>W</answer>" * 50, "R " * 200, "<answer>nan</answer>", "<answer>\u200b</answer>",
]  # fmt: skip
EARNS_NOTHING_ALONE = [  # of one value
    "<answer>R or W</answer>", "<answer>W or R</answer>", "<answer>R / W</answer>", "<answer>R, W</answer>",
    "<answer>either R or W, hard to say</answer>", "<answer>not R</answer>",
]  # fmt: skip
EARNS_ALL = [
    "<answer>R</answer>", "<think>It could be W.</think><answer>R</answer>", "<answer>\nR\n</answer>", "<answer> R </answer>\n",
    "<ANSWER>R</ANSWER>", "< answer >R</ answer >", "<answer>R", "R</answer>", "\\boxed{R}", "$\\boxed{R}$", "```\nR\n```",
    "<answer>\\boxed{R}</answer>", "<answer>$R$</answer>", "<answer>**R**</answer>", "<answer>R</answer><answer>R</answer>",
    "The answer is R", "R", "W? I am wrong.</think>R", "<answer>\u200bR\u200b</answer>", "ignored <answer>R</answer> W",
]  # fmt: skip
BY_KIND = {  # answer: score
    "choice": {
        "b": 1, "B)": 1, "(B)": 1, "(b)": 1, "B.": 1, "B. CT": 1, "CT": 1, "ct": 1, "B: CT": 1, "option B": 1, "the CT scan": 1,
        "\\text{B}": 1, "Ｂ": 1, "Ⓑ": 1, "A is wrong, so B": 1, "В": 0, "Β": 0, "not B": 0, "A or B or C": 0, "A, B, C": 0,
        "ABC": 0, "D": 0, "B (MRI)": 0, "the second": 0, "all of the above": 0, "B is wrong": 0, "neither A nor B": 0,
    },
    "yes_no": {
        "No.": 1, "NO": 1, "No, clear lungs": 1, "no\nnothing there": 1, "normal": 0, "No evidence of fracture": 0, "none": 0,
        "nope": 0, "not": 0, "negative": 0, "yes or no": 0, "no/yes": 0, "know": 0, "nо": 0, "not no": 0, "false": 0,
    },
    "count": {
        "four": 1, "4 (four)": 1, "4.0": 1, "４": 1, "4-5": 0, "at least 4": 0, "about 4 or 5": 0, "4/7": 0, "4%": 0, "-4": 0,
        "44": 0, "1 2 3 4": 0, "IV": 0, "not 4": 0, "4.5": 0,
    },
    "box": {
        "(40, 60, 140, 160)": 1, '{"bbox_2d": [40, 60, 140, 160]}': 1, "40, 60, 140, 160": 1, "[40, 60, 140, 160] [1, 2, 3, 4]": 0,
        "[140, 160, 40, 60]": 0, "[40, 60, 140]": 0, "[40, nan, 140, 160]": 0, "[0.06, 0.12, 0.22, 0.33]": 0, "40-60-140-160": 0,
    },
}  # fmt: skip


def score(name, template):
    ground_truth, extra_info, right, wrong, kwargs = ROWS[name]
    reply = re.sub(r"\b[RW]\b", lambda place: right if place[0] == "R" else wrong, template)
    found = load_plugin(f"rewards/{name}.py", "compute_score").target("test", reply, ground_truth, extra_info, **kwargs)
    return found["score"], found["answered"], reply


@pytest.mark.parametrize("name", ROWS)
def test_what_earns_nothing(name):
    for template in EARNS_NOTHING + EARNS_NOTHING_ALONE * (name not in SETS):
        got, _, reply = score(name, template)
        assert got == 0.0, reply


@pytest.mark.parametrize("name", [name for name in ROWS if name in SETS])
def test_a_longer_set_is_worth_less_than_the_right_one(name):
    for template in EARNS_NOTHING_ALONE:
        got, _, reply = score(name, template)
        assert got < 1.0, reply


@pytest.mark.parametrize("name", ROWS)
def test_what_earns_all(name):
    for template in EARNS_ALL:
        assert score(name, template)[:2] == (1.0, 1.0), score(name, template)


@pytest.mark.parametrize("name", [*BY_KIND, "abstention", "cost"])
def test_what_a_kind_must_read_and_must_not(name):
    for answer, expected in BY_KIND.get(name, BY_KIND["choice"]).items():
        ground_truth, extra_info, _, _, kwargs = ROWS[name]
        reward = load_plugin(f"rewards/{name}.py", "compute_score").target
        found = reward("test", f"<think>x</think><answer>{answer}</answer>", ground_truth, extra_info, **kwargs)
        assert found["score"] == expected, (answer, found)


def test_evaluation_and_training_read_answers_with_one_function():
    """A reward's reader is the object that the readers' room exports, not a copy of it."""
    from medrl.dialogue import answers

    for name, reader in {
        "choice": "read_choice",
        "yes_no": "read_yes_no",
        "count": "read_count",
        "box": "read_box",
    }.items():
        reward = load_plugin(f"rewards/{name}.py", "compute_score").target
        assert reward.__globals__[reader] is getattr(answers, reader)
