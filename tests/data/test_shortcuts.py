"""The rules that never see a picture: what each answers, by hand-made questions, and the classifier on words alone."""

import doctest
from collections import Counter

import pytest
from planted import questions

import medrl.data.shortcuts
import medrl.evaluation.intervals
import medrl.evaluation.robustness
from medrl.data.sample import make_sample
from medrl.data.shortcuts import (
    answer_position,
    answer_text,
    chance,
    form_of,
    longest_option,
    majority_answer,
    option_prior,
    question_prior,
    shuffled_answers,
)
from medrl.data.text_baseline import text_classifier


def choice(number, options, right, question="Which?"):
    letters = dict(zip("ABCDE", options))
    return make_sample(id=f"q{number}", data_source="t", question=question, images=[], ground_truth=right, kind="choice",
                       split="train", options=letters)  # fmt: skip


def text(number, question, answer, kind="open_short"):
    return make_sample(
        id=f"t{number}", data_source="t", question=question, images=[], ground_truth=answer, kind=kind, split="train"
    )


@pytest.mark.parametrize("module", [medrl.data.shortcuts, medrl.evaluation.intervals, medrl.evaluation.robustness])
def test_doctests(module):
    found = doctest.testmod(module)
    assert found.failed == 0 < found.attempted


def test_option_prior_is_the_share_of_right_among_shown():
    # CT is right 2 of 4 times, MRI 1 of 1, X-ray 0 of 3: the rarer MRI wins over the commoner CT
    train = [
        choice(1, ["CT", "X-ray"], "A"),
        choice(2, ["ct.", "X-ray"], "A"),
        choice(3, ["CT", "Ultrasound"], "B"),
        choice(4, ["CT", "X-ray", "MRI"], "C"),
    ]
    rule = option_prior(train)
    assert rule(choice(5, ["CT", "MRI"], "B")) == 1.0
    assert rule(choice(6, ["X-ray", "CT"], "B")) == 1.0
    assert rule(choice(7, ["X-ray", "PET"], "B")) == 1.0  # never seen beats seen and never right
    assert rule(choice(8, ["CT", "PET"], "A")) == 1.0  # 2 of 4 beats the mean, 4 of 9


def test_a_rule_without_knowledge_gets_chance_whatever_place_is_right():
    for right in "ABCD":
        samples = [choice(number, ["w", "x", "y", "z"], right) for number in range(400)]
        share = sum(map(option_prior([]), samples)) / 400
        assert share == pytest.approx(0.25, abs=0.07)


def test_position_and_length():
    train = [choice(number, ["a", "bb", "ccc"], "B") for number in range(3)] + [choice(9, ["a", "bb", "ccc"], "C")]
    assert [answer_position(train)(choice(5, ["x", "y", "z"], right)) for right in "ABC"] == [0.0, 1.0, 0.0]
    assert [longest_option(train)(choice(5, ["x", "yyy", "z"], right)) for right in "ABC"] == [0.0, 1.0, 0.0]


def test_question_prior_knows_questions_by_their_words_and_falls_back_on_the_commonest_answer():
    train = [text(1, "Which organ?", "Liver"), text(2, "which  organ", "liver."), text(3, "Which organ?", "Heart"),
             text(4, "Which plane?", "Axial"), text(5, "Which plane?", "axial"), text(6, "Which side?", "axial")]  # fmt: skip
    rule = question_prior(train)
    assert rule(text(7, "WHICH ORGAN?", "liver")) == 1.0 and rule(text(8, "Which plane?", "liver")) == 0.0
    assert rule(text(9, "New?", "axial")) == 1.0 == majority_answer(train)(text(9, "New?", "axial"))


def test_shuffled_answers_keep_questions_and_the_count_of_answers():
    train = [text(number, f"q{number}", str(number % 3)) for number in range(30)]
    dealt = shuffled_answers(train, 1)
    assert [one.question for one in dealt] == [one.question for one in train]
    assert Counter(map(answer_text, dealt)) == Counter(map(answer_text, train))
    assert [one.ground_truth for one in dealt] != [one.ground_truth for one in train]
    mixed = shuffled_answers([choice(0, ["a", "b"], "B"), *(choice(n, list("abcde"), "E") for n in range(1, 9))], 0)
    assert all(one.ground_truth in one.options for one in mixed)


def test_forms_and_chance():
    box = make_sample(
        id="b", data_source="t", question="Where?", images=[], ground_truth=[1, 2, 3, 4], kind="box", split="v"
    )
    boxes = make_sample(
        id="b", data_source="t", question="Where?", images=[], ground_truth=[[1, 2, 3, 4]], kind="boxes", split="v"
    )
    report = text(1, "Report?", "word " * 100)
    listed = [box, boxes, report, choice(1, ["a", "b"], "A"), choice(2, ["a", "b"], "F"), text(1, "q", "a")]
    assert [form_of(one) for one in listed] == ["box", None, None, "choice", "text", "text"]
    assert chance([choice(1, ["a", "b"], "A"), choice(1, list("abcd"), "A")]) == 0.375
    assert chance([text(1, "q", "yes", "yes_no")]) == 0.5 and chance([text(1, "q", "2", "count")]) is None


def test_the_classifier_reads_words_that_no_count_of_whole_strings_can():
    def asked(number, side):
        return text(number, f"Patient {number} with pain on the {side}, which half?", side, "open_short")

    train = [asked(number, ("left", "right")[number % 2]) for number in range(60)]
    test = [asked(100 + number, ("left", "right")[number % 3 == 0]) for number in range(30)]
    assert sum(map(text_classifier(train), test)) == 30
    assert sum(map(question_prior(train), test)) < 25
    clean = questions("train", 150, 1)
    share = sum(map(text_classifier(clean), questions("val", 200, 2))) / 200
    assert share == pytest.approx(0.25, abs=0.08)


def test_the_classifier_survives_empty_words_and_answers_outside_its_candidates():
    train = [text(number, "?!", f"answer {number}") for number in range(40)]
    rule = text_classifier(train)
    assert rule(text(99, "", "never seen")) == 0.0
    assert text_classifier([])(text(1, "q", "a")) == 0.0
