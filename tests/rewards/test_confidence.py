"""Confidence: honest is best for every chance of being right, being right is better still, and silence never pays."""

import itertools

import pytest

from medrl.plugin import load_plugin

compute_score = load_plugin("rewards/confidence.py", "compute_score").target
ROW = {"options": {"A": "MRI", "B": "CT"}}
PERCENT = [hundredth / 100 for hundredth in range(101)]


def graded(reply, **kwargs):
    return compute_score("test", reply, "B", ROW, **kwargs)


def score(letter, confidence, **kwargs):
    return graded(f'<answer>{{"answer": "{letter}", "confidence": {confidence}}}</answer>', **kwargs)["score"]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("<answer>B</answer><confidence>0.9</confidence>", 0.99),
        ("<answer>A</answer><confidence>0.9</confidence>", -0.81),
        ("<answer>B</answer><confidence>1</confidence>", 1.0),
        ("<answer>A</answer><confidence>0</confidence>", 0.0),
        ("<answer>B</answer>", 0.0),
        ("<answer>B</answer><confidence>90</confidence>", 0.0),
        ("<answer>A</answer>", -1.0),
        ("<answer>A or B</answer><confidence>0</confidence>", -1.0),  # no answer is no way to be sure of being wrong
        ("<confidence>0</confidence>", -1.0),
        ("", -1.0),
    ],
)
def test_scores(reply, expected):
    assert graded(reply)["score"] == pytest.approx(expected, abs=1e-12)


def test_the_log_rule_by_hand():
    assert score("B", 0.5, rule="log") == pytest.approx(1 - 0.150514997831990)  # log 2 / log 100
    assert score("A", 0.9, rule="log") == pytest.approx(-0.5) and score("A", 1, rule="log") == -1.0
    assert score("A", 0.999, rule="log") == -1.0 and score("B", 0, rule="log", clip=0.1) == 0.0


def test_entries():
    reply = '<answer>{"answer": "A", "confidence": 0.25}</answer>'
    assert graded(reply) == {"score": -0.0625, "answered": 1.0, "right": 0.0, "stated": 1.0, "confidence": 0.25}
    assert graded("<answer>B</answer>") == {
        "score": 0.0,
        "answered": 1.0,
        "right": 1.0,
        "stated": 0.0,
        "confidence": 0.0,
    }


@pytest.mark.parametrize(("rule", "chances"), [("brier", PERCENT), ("log", PERCENT[1:100])])
def test_honest_confidence_is_the_only_best_one_for_every_chance_of_being_right(rule, chances):
    right, wrong = ([score(letter, stated, rule=rule) for stated in PERCENT] for letter in "BA")
    best = []
    for chance in chances:
        expected = [chance * first + (1 - chance) * second for first, second in zip(right, wrong)]
        most = max(expected)
        kept = [stated for stated, value in zip(PERCENT, expected) if value > most - 1e-9]
        # 0 and 0.01, 0.99 and 1 are cut off alike
        assert chance in kept and (len(kept) == 1 or (rule == "log" and kept in ([0, 0.01], [0.99, 1]))), (chance, kept)
        best.append(most)
    assert all(more > less for less, more in itertools.pairwise(best)), "a better chance of being right always pays"
    assert min(best) >= score("A", 0, rule=rule) - 1e-9, "a wrong answer on purpose never pays more than a try"


@pytest.mark.parametrize("rule", ["brier", "log"])
def test_saying_nothing_is_never_better_than_any_statement(rule):
    for letter in "AB":
        silent = graded(f"<answer>{letter}</answer>", rule=rule)["score"]
        stated = [score(letter, one, rule=rule) for one in PERCENT]
        assert silent <= min(stated) and graded("I do not know", rule=rule)["score"] <= min(silent, *stated)
        assert all(-1 <= one <= 1 for one in stated)
    assert graded("<answer>A or B</answer><confidence>0</confidence>", rule=rule)["score"] == -1.0


def test_right_is_what_another_reward_says():
    count = compute_score(
        "x", '<answer>{"answer": 3, "confidence": 0.5}</answer>', "3", None, answer="rewards/count.py"
    )
    assert count["score"] == 0.75 and count["answered"] == 1.0


@pytest.mark.parametrize("kwargs", [{"rule": "linear"}, {"clip": 0}, {"clip": 0.5}])
def test_another_rule_is_an_error(kwargs):
    with pytest.raises(ValueError, match=r"expected one of brier, log, and a clip between 0 and 0\.5"):
        graded("<answer>B</answer>", **kwargs)
