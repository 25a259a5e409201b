"""The parts of a reply's form: all there exactly when the form is right, and Med-R1's regexes to the letter."""

import doctest
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.dialogue import answer_form
from medrl.dialogue.answer_form import STYLES, form_parts, medr1_form_ok
from medrl.dialogue.answers import format_ok

PIECES = [
    "<think>", "</think>", "<answer>", "</answer>", "<THINK>", "< answer>", " ", "\n", "\u2003", "a", "B", "\\boxed{", "}", "{",
    "\\}", "$", ".", "```", "```json\n", '{"answer": "B"}', "[", "]", "[1, 2]", ",", '"',
]  # fmt: skip
MIXED = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
# as released; here only as what the one-pass readers are compared with
RELEASED = {
    "think": re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL),
    "no_think": re.compile(r"\s*<answer>.*?</answer>", re.DOTALL),
}


def test_doctests():
    found = doctest.testmod(answer_form)
    assert found.attempted and not found.failed


@given(MIXED, st.sampled_from(["think", "no_think"]))
def test_med_r1s_form_is_the_released_regexes(reply, style):
    for text in (
        reply,
        f"<think>{reply}</answer>",
        f"<answer>{reply}</answer>",
        f"<think>a</think>{reply}<answer>B</answer>",
    ):
        assert medr1_form_ok(text, style) == bool(RELEASED[style].fullmatch(text)), text


@given(MIXED, st.sampled_from(["think", "no_think"]))
def test_all_parts_are_there_exactly_when_the_form_is_right(reply, style):
    for text in (reply, f"<think>a</think>{reply}<answer>B</answer>", f"<answer>{reply}</answer>"):
        assert (sum(form_parts(text, style).values()) == len(form_parts(text, style))) == format_ok(text, style), text


@given(st.one_of(st.text(max_size=40), MIXED), st.sampled_from(STYLES))
def test_parts_lie_between_0_and_1_on_any_text(reply, style):
    assert all(0 <= part <= 1 for part in form_parts(reply, style, ["answer"]).values())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("reply", ["", " \n", "B", "I do not know."])
def test_a_reply_without_form_has_no_part(style, reply):
    assert sum(form_parts(reply, style, ["answer"]).values()) == 0


@pytest.mark.parametrize(
    ("reply", "parts"),
    [
        ("<think>a</think><answer>B</answer>", (1, 1, 1, 1)),
        ("<think>a</think>\n<answer>B</answer>\n", (1, 1, 1, 1)),
        ("so <think>a</think><answer>B</answer>", (1, 1, 1, 0)),
        ("<answer>B</answer><think>a</think>", (1, 1, 0, 0)),
        ("<answer>B</answer>", (0, 1, 0, 0)),
        ("<think>a</think>B", (1, 0, 0, 0)),
        ("<think> </think><answer>B</answer>", (0, 1, 0, 0)),
        ("<think>a</think><answer>B</answer><answer>B</answer>", (1, 0, 0, 0)),
        ("<think>a<answer>B</answer></think>", (1, 1, 0, 0)),
        ("</think>a<think><answer>B</answer>", (0, 1, 0, 0)),
    ],
)
def test_parts_of_thinking_and_answering(reply, parts):
    assert tuple(form_parts(reply).values()) == parts


@pytest.mark.parametrize(
    ("reply", "parts"),
    [
        ("<answer>B</answer>\n", (1, 1, 1)),
        ("It is <answer>B</answer>", (1, 1, 0)),
        ("<think>a</think><answer>B</answer>", (1, 0, 0)),
        ("<answer>B</answer></think>", (1, 0, 0)),
        ("<answer> </answer>", (0, 0, 0)),
    ],
)
def test_parts_of_answering_alone(reply, parts):
    assert tuple(form_parts(reply, "no_think").values()) == parts


@pytest.mark.parametrize(
    ("reply", "parts"),
    [
        ('{"answer": "B", "why": 1}', (1, 1, 1)),
        ('```json\n{"answer": "B", "why": 1}\n```\n', (1, 1, 1)),
        ('[{"answer": "B", "why": 1}, {"answer": "C"}]', (1, 0.75, 1)),
        ("[]", (1, 1, 1)),  # nothing was found, and that is said
        ("[1, 2]", (1, 0, 1)),
        ('Here: ```json\n{"answer": "B", "why": 1}\n```', (1, 1, 0)),
        ('Here: {"answer": "B", "why": 1}', (0, 0, 0)),
        ('{"answer": "B", "why": 1', (0, 0, 0)),
        ('{"answer": "B"}}', (0, 0, 0)),
        ("{}", (0, 0, 0)),
        ('"B"', (0, 0, 0)),
    ],
)
def test_parts_of_json(reply, parts):
    assert tuple(form_parts(reply, "json", ["answer", "why"]).values()) == parts
    assert tuple(form_parts(reply, "json").values()) == (parts[0], parts[2])


@pytest.mark.parametrize(
    ("reply", "parts"),
    [
        (r"It is dense, so \boxed{B}.", (1, 1, 1)),
        (r"<think>dense</think> $\boxed{\text{B}}$", (1, 1, 1)),
        (r"\boxed{B} is my answer", (1, 1, 0)),
        (r"\boxed{A} or \boxed{B}", (0, 0, 0)),
        (r"\boxed{ }", (0, 0, 0)),
        (r"\boxed{B", (0, 0, 0)),
        (r"\boxed{\}", (0, 0, 0)),
        (r"<think>\boxed{B}</think>", (1, 0, 0)),
        (r"<think>dense \boxed{B}", (1, 0, 1)),
    ],
)
def test_parts_of_a_boxed_answer(reply, parts):
    assert tuple(form_parts(reply, "boxed").values()) == parts


def test_an_unknown_style_is_an_error():
    with pytest.raises(ValueError, match="expected one of think, no_think, json, boxed"):
        form_parts("B", "xml")
    with pytest.raises(ValueError, match="expected think or no_think"):
        medr1_form_ok("B", "json")
