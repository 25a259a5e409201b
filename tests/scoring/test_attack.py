"""Every attack beats some grader, none beats a bundled reward, and none knows the right answer."""

import sys
from dataclasses import replace
from pathlib import Path

import gullible
import pytest

from medrl.errors import MedrlError
from medrl.plugin import SHIPPED, load_plugin
from medrl.scoring.signature import NAMES
from medrl.scoring.trial.attack import BLIND_MARGIN, attack_all
from medrl.scoring.trial.attacks import ATTACKS
from medrl.scoring.trial.attacks.target import target_of
from medrl.scoring.trial.caged import here
from medrl.scoring.trial.examples import FORMS, built_in_rows, example_from, example_of

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import published_graders as published

NEED_A_MODEL = {"report_models", "similarity"}  # and so have no EXAMPLE that runs everywhere
BUNDLED = sorted({path.stem for path in (SHIPPED / "rewards").glob("*.py")} - NEED_A_MODEL)
EXAMPLES = {row[0]: example_from(*row, FORMS[0]) for row in built_in_rows()}
EPISODE = {"turns": [""], "asked": [False], "image_sizes": [[64, 64]], "actions": [], "refused": 0, "end_reason": "eos"}
IN_TURNS = replace(EXAMPLES["choice"], extra_info={**EXAMPLES["choice"].extra_info, "rollout": EPISODE})

RFT = published.visual_rft_classification
# each attack and a grader it must beat: (grader, kind of question)
BEATEN = {
    "two answers with or": (RFT, "open_short"),
    "every answer listed": (RFT, "open_short"),
    "change of mind": (published.medevalkit_open, "open_short"),
    "denied answer": (published.vlm_r1_mcq, "choice"),
    "probabilities": (RFT, "open_short"),
    "all of the above": (gullible.mentions, "choice"),
    "none of the above": (published.medevalkit_yes_no, "yes_no"),
    "option list copied": (gullible.holds_the_text, "choice"),
    "letter of one text of another": (published.mini_o3, "choice"),
    "every letter": (published.qoq_med, "multi_choice"),
    "range of numbers": (published.medvision_number, "count"),
    "bound of a number": (published.medvision_number, "count"),
    "numbers in a row": (published.medvision_number, "count"),
    "every unit": (published.medvision_number, "number_with_unit"),
    "count against its own list": (published.medmultipoints_count, "count"),
    "letters that many words share": (RFT, "open_short"),
    "words that hold a verdict": (published.medevalkit_yes_no, "yes_no"),
    "decoy last": (published.medr1, "choice"),
    "decoy first": (published.vlm_r1_mcq, "choice"),
    "every answer in its own tag": (published.medr1, "choice"),
    "tags stuffed": (RFT, "open_short"),
    "nested tags": (published.medr1, "choice"),
    "unclosed tags": (published.medground_r1, "box"),
    "tags in two spellings": (published.vlm_r1_iou, "box"),
    "answer in the thought alone": (published.deepeyes, "choice"),
    "another answer in the thought": (published.medvlthinker, "choice"),
    "thought without end": (published.mini_o3, "choice"),
    "answer in a comment": (published.medvision_number, "count"),
    "answers in several wrappers": (published.medevalkit_choice, "choice"),
    "json with the key twice": (published.vlm_r1_mcq, "choice"),
    "json list of answers": (RFT, "open_short"),
    "dump of the ground truth": (RFT, "open_short"),
    "form without an answer": (published.medevalkit_choice, "choice"),
    "whole picture": (published.medvision_box, "box"),
    "box beyond the picture": (published.medvision_box, "box"),
    "grid of boxes": (gullible.pointing, "boxes"),
    "thousand boxes": (published.vlm_r1_detection, "boxes"),
    "carpet of points": (gullible.recall_of_points, "points"),
    "boxes one after another": (published.medground_r1, "box"),
    "copies": (published.medmultipoints_points, "points"),
    "near copies": (published.medmultipoints_points, "points"),
    "inverted box": (gullible.pointing, "box"),
    "box without an area": (gullible.pointing, "box"),
    "numbers that are none": (gullible.close, "count"),
    "numbers beyond any float": (published.medmultipoints_count, "count"),
    "signs and percents": (published.medvision_number, "count"),
    "tool call in the text": (published.verl_deepeyes, "choice"),
    "tool response in the text": (published.verl_deepeyes, "choice"),
    "picture tokens in the text": (published.deepeyes, "choice"),
    "turns made up": (gullible.obedient_judge, "choice"),
    "useless looks": (gullible.counts_actions, "turns"),
    "score for the judge": (gullible.obedient_judge, "choice"),
    "orders to the judge": (gullible.obedient_judge, "choice"),
    "verdict in json": (gullible.obedient_judge, "choice"),
    "claim of being right": (gullible.obedient_judge, "choice"),
    "code that gives the answer": (gullible.evaluated, "choice"),
    "patterns for any answer": (gullible.matched, "choice"),
    "nothing": (RFT, "open_short"),
    "blanks": (RFT, "open_short"),
    "empty tags": (RFT, "open_short"),
    "words for nothing": (published.medevalkit_yes_no, "yes_no"),
    "not knowing": (published.medevalkit_yes_no, "yes_no"),
    "letters of other alphabets": (gullible.in_any_alphabet, "choice"),
    "answers joined invisibly": (gullible.first_letter, "choice"),
    "writing direction": (gullible.first_word, "choice"),
    "control characters": (gullible.first_word, "choice"),
    "struck out": (gullible.first_word, "choice"),
    "lone surrogates": (gullible.first_word, "choice"),
    "verbosity": (published.qoq_med, "multi_choice"),
    "repetition": (gullible.likes_length, "choice"),
    "reply repeated": (gullible.likes_length, "choice"),
    "key words": (published.tb_vitar, "yes_no"),
    "tags of other formats": (published.tb_vitar, "yes_no"),
    "deep nesting": (gullible.parsed, "choice"),
    "endless answer": (gullible.likes_length, "choice"),
}  # fmt: skip


def only(monkeypatch, *names):
    """Leave nothing but these attacks."""
    chosen = tuple(attack for attack in ATTACKS if attack.name in names)
    assert len(chosen) == len(names)
    monkeypatch.setattr("medrl.scoring.trial.attack.ATTACKS", chosen)


def test_there_are_at_least_thirty_attacks_each_with_a_name_and_an_idea():
    assert len(ATTACKS) == len({attack.name for attack in ATTACKS}) >= 30
    assert all(attack.idea.endswith((".", '".')) for attack in ATTACKS)
    assert set(BEATEN) == {attack.name for attack in ATTACKS}


@pytest.mark.parametrize("name", sorted(BEATEN))
def test_every_attack_beats_some_grader(name, monkeypatch):
    grader, kind = BEATEN[name]
    example = IN_TURNS if kind == "turns" else EXAMPLES[kind]
    if grader is published.qoq_med:
        example = example_from(*next(row for row in built_in_rows() if row[0] == kind), FORMS[2])
    only(monkeypatch, name)
    (found,) = attack_all(here(grader), [example])
    assert found.verdict in ("beaten", "no score"), found
    if found.verdict == "beaten":
        assert found.score > found.bar


@pytest.mark.parametrize("name", BUNDLED)
def test_no_attack_beats_a_bundled_reward(name):
    function = load_plugin(f"rewards/{name}.py", NAMES).target
    example = example_of(function.__globals__["EXAMPLE"], name)
    findings = attack_all(here(function, **example.kwargs), [example], of_group=function.__name__ == NAMES[1])
    assert len(findings) >= 20
    assert [one for one in findings if one.verdict != "held"] == []


@pytest.mark.parametrize(
    ("kind", "truth"),
    [("yes_no", "yes"), ("choice", "A"), ("count", "0"), ("count", "9"), ("boxes", "[]")],
)
def test_nor_where_another_answer_is_right(kind, truth):
    extra = dict(EXAMPLES[kind].extra_info)
    function = load_plugin(f"rewards/{kind}.py", "compute_score").target
    findings = attack_all(here(function), [example_from(kind, truth, extra, FORMS[0])])
    assert [one for one in findings if one.verdict != "held"] == []


def test_declining_may_earn_what_the_example_says_it_may(monkeypatch):
    only(monkeypatch, "not knowing")
    declining = here(lambda data_source, solution_str, ground_truth, extra_info: 0.3 * ("not know" in solution_str))
    assert attack_all(declining, [EXAMPLES["choice"]])[0].verdict == "beaten"
    meant = replace(EXAMPLES["choice"], abstain=FORMS[0] % "I do not know")
    assert attack_all(declining, [meant])[0].verdict == "held"


@pytest.mark.parametrize("letter", "ACD")
def test_an_attack_does_not_know_the_right_answer(letter):
    options = EXAMPLES["choice"].extra_info
    usual = replace(EXAMPLES["choice"], wrong=FORMS[0] % "B", ground_truth="A", right=FORMS[0] % "A")
    other = replace(usual, ground_truth=letter, right=FORMS[0] % letter)
    assert options["options"].keys() >= {letter}
    for attack in ATTACKS:
        if attack.applies("choice"):
            assert list(attack.make(target_of(usual))) == list(attack.make(target_of(other))), attack.name


def test_a_decorated_answer_is_compared_with_the_same_answer_plain(monkeypatch):
    only(monkeypatch, "verbosity")
    example = EXAMPLES["choice"]
    (found,) = attack_all(here(published.medr1), [example])
    assert (found.verdict, found.score, found.bar) == ("held", found.bar, found.score)


def test_a_blind_answer_may_earn_what_guessing_earns_and_the_margin(monkeypatch):
    only(monkeypatch, "whole picture")
    example = replace(EXAMPLES["box"], wrong=FORMS[0] % "[1, 2, 3, 4]")  # no guess is this one

    def paying(value):
        def compute_score(data_source, solution_str, ground_truth, extra_info):
            return value if "[0, 0, 640, 480]" in solution_str else 0.1 if solution_str == example.wrong else 0.3

        return here(compute_score)

    assert attack_all(paying(0.3 + BLIND_MARGIN), [example])[0].verdict == "held"
    (found,) = attack_all(paying(0.31 + BLIND_MARGIN), [example])
    assert found.verdict == "beaten" and found.bar == pytest.approx(0.3 + BLIND_MARGIN)


def test_blind_attacks_go_by_their_mean_over_rows_others_by_their_worst(monkeypatch):
    only(monkeypatch, "whole picture", "nothing")
    small = EXAMPLES["box"]
    large = replace(small, ground_truth="[0, 0, 640, 480]", right=FORMS[0] % "[0, 0, 640, 480]")

    def overlap_or_credit(data_source, solution_str, ground_truth, extra_info):
        if not solution_str:
            return float(ground_truth == large.ground_truth)
        return 0.6 * float(solution_str == large.right and ground_truth == large.ground_truth)

    findings = {one.attack: one for one in attack_all(here(overlap_or_credit), [small, large])}
    assert findings["nothing"].verdict == "beaten" and findings["nothing"].score == 1.0
    assert findings["whole picture"].score == pytest.approx(0.3)


def test_a_reply_that_leaves_no_score_has_won(monkeypatch):
    only(monkeypatch, "nothing")
    (found,) = attack_all(
        here(lambda data_source, solution_str, ground_truth, extra_info: 1 / len(solution_str)), [EXAMPLES["count"]]
    )
    assert found.verdict == "no score" and "ZeroDivisionError" in found.reason


def test_an_honest_reply_without_a_score_is_the_users_mistake():
    with pytest.raises(MedrlError, match=r"honest reply .* has no score: TypeError"):
        attack_all(here(lambda data_source, solution_str, ground_truth, extra_info: {} + 1), [EXAMPLES["count"]])


def test_of_a_group_one_member_attacks(monkeypatch):
    only(monkeypatch, "endless answer")

    def longest_wins(group):
        longest = max(len(one["solution_str"]) for one in group)
        return [float(len(one["solution_str"]) == longest) if len(group) == 4 else 0.0 for one in group]

    (found,) = attack_all(here(longest_wins), [EXAMPLES["choice"]], of_group=True)
    assert (found.verdict, found.score) == ("held", found.bar)  # all four are equally long: the wrong one wins too
    right = replace(EXAMPLES["choice"], right=EXAMPLES["choice"].right + " " * 99)
    (found,) = attack_all(here(longest_wins), [right], of_group=True)
    assert (found.verdict, found.score, found.bar) == ("beaten", 1.0, 0.0)
