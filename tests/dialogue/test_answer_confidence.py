"""Stated confidence: three ways to write it, outside the reasoning, once; everything else is none."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.dialogue import answer_confidence
from medrl.dialogue.answer_confidence import read_confidence


def test_doctests():
    found = doctest.testmod(answer_confidence)
    assert found.attempted and not found.failed


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("<answer>B</answer><confidence>0.8</confidence>", 0.8),
        ("<answer>B <confidence>80%</confidence></answer>", 0.8),
        ("<think>a</think><answer>B</answer>\n< Confidence > .8 < / CONFIDENCE >", 0.8),
        ("<confidence>0,75</confidence>", 0.75),
        ("<confidence>1</confidence>", 1.0),
        ("<confidence>1%</confidence>", 0.01),
        ("<confidence>0</confidence>", 0.0),
        ("<confidence>0.8", 0.8),
        ("<confidence>80</confidence>", None),  # of 1 or of 100?
        ("<confidence>120%</confidence>", None),
        ("<confidence>-0.2</confidence>", None),
        ("<confidence>high</confidence>", None),
        ("<confidence>about 0.8</confidence>", None),
        ("<confidence>0.7-0.9</confidence>", None),
        ("<confidence>1e-3</confidence>", None),
        ("<confidence>nan</confidence>", None),
        ("<confidence></confidence>", None),
        ('{"answer": "B", "confidence": 0.8}', 0.8),
        ("{'answer': 'B', 'Confidence': '80 %',}", 0.8),
        ('<answer>{"answer": "B", "confidence": 1}</answer>', 1.0),
        ('{"answer": "B", "confidence": 80}', None),
        ('{"answer": "B", "confidence": true}', None),
        ('{"answer": "B", "confidence": [0.8]}', None),
        ('{"answer": "B", "confidence": NaN}', None),
        ('{"answer": "B", "confidence": 0.8', None),  # cut short
        ('{"answer": "B", "confidence": 0.8, "confidence": 0.9}', None),
        ("Answer: B\nConfidence: 80%.", 0.8),
        ("**Confidence:** 0.8", 0.8),
        ("B (confidence = 0.8)", 0.8),
        ("confidence level: 80 percent", 0.8),
        ("Confidence score: ０.８", 0.8),
        ("Confidence: 80%, since it is dense", 0.8),
        ("Confidence: 0.7-0.9", None),
        ("Confidence: 70% to 90%", None),
        ("Confidence: 0.7 or 0.8", None),
        ("Confidence: 8/10", None),
        ("Confidence: 8 out of 10", None),
        ("Confidence: 0.8mm", None),
        ("Confidence: 0.8.1", None),
        ("Confidence: 0.12345678901234567890", None),
        ("Confidence: high", None),
        ("Confidence is 0.8", None),
        ("overconfidence: 0.8", None),
        ("80% sure", None),
        ("Confidence: 0.8. Confidence: 80%", 0.8),
        ("Confidence: 0.8. Confidence: 0.9", None),
        ("<confidence>0.8</confidence> Confidence: 0.9", None),
        ('{"confidence": 0.8} <confidence>0.9</confidence>', None),
        ("<confidence>high</confidence> Confidence: 0.9", None),
        ("<think>confidence: 0.8</think><answer>B</answer>", None),
        ("<think>confidence: 0.2</think><answer>B</answer> confidence: 0.8", 0.8),
        ("<think><confidence>0.8</confidence>", None),
        ("cоnfidence: 0.8", None),  # a Cyrillic o
        ("", None),
    ],
)
def test_what_is_read(reply, expected):
    assert read_confidence(reply) == (None if expected is None else pytest.approx(expected, abs=1e-12))


PIECES = [
    "<confidence>",
    "</confidence>",
    "confidence: ",
    "0.8",
    "80",
    "%",
    "1",
    "{",
    '"confidence": ',
    "}",
    " ",
    "\n",
    "-",
    "<think>",
    "to",
]


@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))
def test_any_text_gives_a_probability_or_none(reply):
    found = read_confidence(reply)
    assert found is None or 0 <= found <= 1


@given(st.integers(0, 1000))
def test_every_way_of_writing_a_probability_gives_it_back(thousandths):
    value = thousandths / 1000
    ways = (
        f"<confidence>{value}</confidence>",
        f'{{"confidence": {value}}}',
        f"confidence: {value}",
        f"confidence: {value * 100:.1f}%",
    )
    assert [read_confidence(reply) for reply in ways] == pytest.approx([value] * 4, abs=1e-12)
