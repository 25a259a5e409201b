"""What a clinical text asserts, doubts and denies; a table of sentences as radiologists and models write them."""

import time

import pytest

from medrl.dialogue.answer_terms import (
    MAX_CHARACTERS,
    Status,
    find_terms,
    make_vocabulary,
    read_statements,
    read_text,
    says_none,
)

WORDS = make_vocabulary(
    {
        "effusion": ["effusion", "pleural fluid"],
        "edema": ["edema", "oedema"],
        "heart": ["cardiomegaly", "enlarged heart", "heart is enlarged"],
        "air": ["pneumothorax"],
        "solid": ["consolidation"],
        "mass": ["mass"],
        "clear": ["no mass effect"],
    }
)
PRESENT, OPEN, ABSENT = Status.PRESENT, Status.UNCERTAIN, Status.ABSENT


@pytest.mark.parametrize(
    "text, said",
    [
        ("Effusion.", {"effusion": PRESENT}),
        ("no effusion", {"effusion": ABSENT}),
        ("No consolidation, effusion, or edema. Cardiomegaly.",
         {"solid": ABSENT, "effusion": ABSENT, "edema": ABSENT, "heart": PRESENT}),
        ("No effusion but edema", {"effusion": ABSENT, "edema": PRESENT}),
        ("no effusion; edema", {"effusion": ABSENT, "edema": PRESENT}),
        ("no effusion, there is edema", {"effusion": ABSENT, "edema": PRESENT}),
        ("Edema without effusion", {"edema": PRESENT, "effusion": ABSENT}),
        ("Effusion is not seen.", {"effusion": ABSENT}),
        ("Effusion and edema are no longer present", {"effusion": ABSENT, "edema": ABSENT}),
        ("The pneumothorax has resolved", {"air": ABSENT}),
        ("effusion isn't seen", {"effusion": ABSENT}),
        ("no effusion is seen", {"effusion": ABSENT}),
        ("negative for pneumothorax", {"air": ABSENT}),
        ("effusion was ruled out", {"effusion": ABSENT}),
        ("edema is unlikely", {"edema": ABSENT}),
        ("The effusion has been removed", {"effusion": ABSENT}),
        ("neither effusion nor edema", {"effusion": ABSENT, "edema": ABSENT}),
        ("possible effusion", {"effusion": OPEN}),
        ("cannot exclude effusion", {"effusion": OPEN}),
        ("effusion can't be excluded", {"effusion": OPEN}),
        ("effusion or edema", {"effusion": OPEN, "edema": OPEN}),
        ("effusion vs edema", {"effusion": OPEN, "edema": OPEN}),
        ("no effusion or edema", {"effusion": ABSENT, "edema": ABSENT}),
        ("edema, likely with effusion", {"edema": PRESENT, "effusion": OPEN}),
        ("effusion?", {"effusion": OPEN}),
        ("no change in the effusion", {"effusion": PRESENT}),
        ("effusion has not resolved", {"effusion": PRESENT}),
        ("Effusion: none\nEdema: present\nPneumothorax: no", {"effusion": ABSENT, "edema": PRESENT, "air": ABSENT}),
        ("Effusion: No. Edema: uncertain", {"effusion": ABSENT, "edema": OPEN}),
        ("Impression: no effusion", {"effusion": ABSENT}),
        ("No left effusion. Small right effusion.", {"effusion": PRESENT}),
        ("possible edema. no edema", {"edema": OPEN}),
        ("pleural-fluid, Masses", {"effusion": PRESENT, "mass": PRESENT}),
        ("effusionlike massive amass", {}),
        ("no mass effect", {"clear": PRESENT}),  # a term hides the denial inside it, and the shorter term
        ("the heart is enlarged", {"heart": PRESENT}),
        ("nо effusion", {"effusion": PRESENT}),  # a Cyrillic о: no English word, and no denial
        ("", {}),
        ("...!?:;\n", {}),
    ],
)  # fmt: skip
def test_what_a_text_says(text, said):
    assert find_terms(text, WORDS) == said


@pytest.mark.parametrize(
    "reply, text",
    [
        ('<answer>{"effusion": true, "edema": false}</answer>', "effusion: yes\nedema: no"),
        ('<answer>{"effusion": 1, "edema": 0, "mass": null}</answer>', "effusion: yes\nedema: no\nmass: none"),
        ("<answer>['effusion', 'edema']</answer>", "effusion\nedema"),
        ('<answer>{"answer": ["effusion", "edema"]}</answer>', "effusion, edema"),
        ('<answer>{"lung": {"edema": "yes"}}</answer>', "lung: edema: yes"),
        ("<answer>[]</answer>", "none"),
        ('<answer>{"effusion": true</answer>', None),
        ("<answer>effusion</answer><answer>edema</answer>", None),
        ("<answer>" + "effusion " * (MAX_CHARACTERS // 8) + "</answer>", None),
        ("<think>effusion", None),
    ],
)
def test_statements(reply, text):
    assert read_statements(reply) == text


def test_json_and_prose_say_the_same():
    as_json = read_statements(
        '<answer>{"effusion": "no", "edema": "yes", "mass": "absent", "air": "possible"}</answer>'
    )
    assert find_terms(as_json, WORDS) == {"effusion": ABSENT, "edema": PRESENT, "mass": ABSENT}
    assert find_terms("pneumothorax: possible", WORDS) == {"air": OPEN}


@pytest.mark.parametrize(
    "text, none", [("None", True), ("Normal chest.", True), ("abnormal", False), ("not normal", False), ("", False)]
)
def test_says_none(text, none):
    assert says_none(text) == none


@pytest.mark.parametrize(
    "terms, told",
    [({"a": ["mass"], "b": ["Mass"]}, "listed under"), ({"a": ["..."]}, "holds no word")],
)
def test_a_faulty_vocabulary_is_named(terms, told):
    with pytest.raises(ValueError, match=told):
        make_vocabulary(terms)


@pytest.mark.parametrize("piece", ["no effusion ", "effusion not seen ", "effusion: no ", ".", "not "])
def test_the_time_grows_with_the_length_alone(piece):
    def seconds(characters):
        text = piece * (characters // len(piece))
        return min(_timed(find_terms, text, WORDS) for _ in range(2))

    assert seconds(20_000) < 12 * seconds(5_000) + 0.005  # four times the text; 16 times for a quadratic search


def _timed(function, *given):
    start = time.process_time()
    function(*given)
    return time.process_time() - start


def test_read_text_takes_the_answer_alone():
    assert read_text("<think>edema</think><answer>No **effusion**</answer> mass") == "No effusion"
