"""Declining to answer: the whole answer is one of the phrases, or it is no abstention."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import tagged

from medrl.dialogue import answer_abstention
from medrl.dialogue.answer_abstention import PHRASES, abstains


def test_doctests():
    found = doctest.testmod(answer_abstention)
    assert found.attempted and not found.failed


@pytest.mark.parametrize("phrase", PHRASES)
def test_every_phrase_is_one_however_it_is_put(phrase):
    for text in (
        phrase,
        phrase.upper() + ".",
        f"It {phrase}",
        f'"{phrase}"',
        f"**{phrase}** from this image.",
        f'{{"answer": "{phrase}"}}',
    ):
        assert abstains(tagged(text)), text
        assert abstains(text), text


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("<answer>can't be determined</answer>", True),
        ("<answer>can not be determined</answer>", True),
        ("<answer>I don’t know</answer>", True),
        (r"\boxed{\text{Cannot be determined}}", True),
        ("The answer is: cannot be determined", True),
        ("<answer>cannot be determined</answer><answer>Unanswerable</answer>", True),
        ("<answer>cannot be determined</answer><answer>B</answer>", False),
        ("<answer>B</answer> It cannot be determined.", False),
        ("<answer>The stage cannot be determined, but it is B</answer>", False),
        ("<answer>cannot be determined B</answer>", False),
        ("<answer>B, or it cannot be determined</answer>", False),
        ("<answer>can be determined</answer>", False),
        ("<answer>unknown</answer>", False),
        ("<answer>indeterminate nodule</answer>", False),
        ("<think>It cannot be determined.</think><answer>B</answer>", False),
        ("<think>It cannot be determined.</think>", False),
        ("<think>It cannot be determined.", False),
        ("", False),
        ("<answer></answer>", False),
    ],
)
def test_what_declines(reply, expected):
    assert abstains(reply) is expected


def test_phrases_can_be_ones_own_and_none_may_be_empty():
    assert abstains("<answer>Poor image!</answer>", ["poor image"]) and not abstains(
        "<answer>Unanswerable</answer>", ["poor image"]
    )
    for phrases in ([], [" "], ["poor image", "."]):
        with pytest.raises(ValueError, match="none of them empty"):
            abstains("B", phrases)


@given(st.text(max_size=60))
def test_no_text_raises(reply):
    assert abstains(reply) in (True, False)
