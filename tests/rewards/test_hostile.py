"""Form, shaping, confidence, abstention and cost on text nobody should write: finite, in range, and in time that is linear."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.dialogue.answer_abstention import abstains
from medrl.dialogue.answer_confidence import read_confidence
from medrl.dialogue.answer_form import STYLES, form_parts, medr1_form_ok
from medrl.plugin import load_plugin

RANGES = {  # as their files say
    "format": (0, 1), "turn_format": (0, 1), "length": (-1, 0), "length_cosine": (-0.5, 0), "repetition": (-1, 0),
    "confidence": (-1, 1), "abstention": (0, 1), "cost": (0, 1),
}  # fmt: skip
LOADED = {name: load_plugin(f"rewards/{name}.py", "compute_score").target for name in RANGES}
EXAMPLES = {name: reward.__globals__["EXAMPLE"] for name, reward in LOADED.items()}
VARIANTS = {
    "format": [{}, {"mode": "graded"}, {"style": "json", "keys": ["answer"]}, {"style": "boxed"}, {"exact": "medr1"},
               {"exact": "medr1", "style": "no_think"}],
    "length": [{}, {"minimum": 600}],
    "length_cosine": [{}, {"wrong_long": 0.0}],
    "repetition": [{}, {"words": 1}],
    "confidence": [{}, {"rule": "log"}],
}  # fmt: skip
PIECES = [
    "<think>", "</think>", "<answer>", "</answer>", "<confidence>", "</confidence>", "confidence: ", "0.8", "%",
    '"confidence": ',
    '{"answer": "B", ', "{", "}", "[", "```", "```json\n", "\\boxed{", "cannot be determined", "benign", "cancer", "B", " ", "\n",
    "nan",
    "\ud800", "\x00", "\u200b", "é", "９",
]  # fmt: skip
SIZE = 150_000


def score(name, reply, **kwargs):
    example = EXAMPLES[name]
    return LOADED[name](
        "test", reply, example["ground_truth"], example["extra_info"], **example.get("kwargs", {}), **kwargs
    )


@pytest.mark.parametrize("name", RANGES)
def test_the_example_is_in_order(name):
    """What the commands try the file on: right above wrong where the reward looks at rightness at all."""
    right, wrong = (score(name, EXAMPLES[name][which])["score"] for which in ("right", "wrong"))
    assert right > wrong if name in ("length_cosine", "confidence", "abstention", "cost") else right == wrong
    assert EXAMPLES[name]["extra_info"]["kind"] == "choice"


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=14).map("".join)))
def test_any_text_has_a_finite_score_in_the_range_that_is_documented(reply):
    for name, (low, high) in RANGES.items():
        for kwargs in VARIANTS.get(name, [{}]):
            found = score(name, reply, **kwargs)
            assert low <= found["score"] <= high, (name, kwargs, found)
            assert all(math.isfinite(value) for value in found.values() if isinstance(value, float))
            assert found == score(name, reply, **kwargs), "the same twice"


FLOODS = [
    *(piece * (SIZE // len(piece)) for piece in PIECES),
    *(
        "<think>x</think><answer>" + piece * (SIZE // len(piece)) + "</answer>"
        for piece in ("`", "{", "\\", "a ", "confidence:", "<")
    ),
    "</think><answer>" * (SIZE // 16) + "</answer>",
    "<think>" + "</think>" + " " * SIZE + "<answer>B</answer>",
    "\\boxed" + " " * SIZE + "{B}",
    "<confidence>" + "8" * SIZE,
    "confidence: 0.8 " * (SIZE // 16),
    "< confidence >" + " " * SIZE,
    '{"confidence": 0.5} ' * (SIZE // 20),
    "\n".join(f"the bone {number} is dense" for number in range(SIZE // 24)),
]


READERS = {  # what these rewards do themselves, beside reading the answer
    "form": lambda reply: [form_parts(reply, style, ["answer"]) for style in STYLES],
    "medr1": lambda reply: [medr1_form_ok(reply, style) for style in ("think", "no_think")],
    "confidence": read_confidence,
    "abstention": abstains,
    "repetition": lambda reply: score("repetition", reply),
    "length": lambda reply: score("length", reply),
}


@pytest.mark.parametrize("name", READERS)
def test_150000_characters_are_read_in_a_time_that_is_linear(name):
    """In 30 times what it takes here to look at each character once, 10 ms or so; a quadratic regex would take minutes."""
    limit_s = 30 * min(_seconds(lambda text: [ord(sign) for sign in text], "a" * SIZE) for _ in range(3))
    for reply in FLOODS:
        took = _seconds(READERS[name], reply)
        assert took < limit_s or min(_seconds(READERS[name], reply) for _ in range(4)) < limit_s, ascii(reply[:40])


@pytest.mark.cluster  # for its minutes, not for a cluster
@pytest.mark.parametrize("name", RANGES)
def test_a_whole_reward_takes_little_more_than_reading_the_answer(name):
    choice, slow = load_plugin("rewards/choice.py", "compute_score").target, []
    row = {"options": {"A": "MRI", "B": "CT"}}
    for reply in FLOODS:
        answer = min(_seconds(lambda text: choice("test", text, "B", row), reply) for _ in range(3))
        for kwargs in VARIANTS.get(name, [{}]):
            took = min(_seconds(lambda text, given=kwargs: score(name, text, **given), reply) for _ in range(3))
            if took - answer > 0.2:
                slow.append((ascii(reply[:40]), kwargs, round(took, 3), round(answer, 3)))
    assert not slow


def _seconds(read, reply):
    started = time.process_time()
    read(reply)
    return time.process_time() - started
