"""Form, shaping, confidence, abstention and cost on text nobody should write: finite, in range, and in time that is linear."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    "<think>", "</think>", "<answer>", "</answer>", "<confidence>", "</confidence>", "confidence: ", "0.8", "%", '"confidence": ',
    '{"answer": "B", ', "{", "}", "[", "```", "```json\n", "\\boxed{", "cannot be determined", "benign", "cancer", "B", " ", "\n", "nan",
    "\ud800", "\x00", "\u200b", "é", "９",
]  # fmt: skip
SIZE, LIMIT_S = 150_000, 0.05


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


@pytest.mark.parametrize("name", RANGES)
def test_a_long_reply_costs_less_than_50_ms(name):
    slow = []
    for number, reply in enumerate(FLOODS):
        for kwargs in VARIANTS.get(name, [{}]):
            took = min(_seconds(name, reply, kwargs) for _ in range(2))
            if took > LIMIT_S and (took := min(took, *(_seconds(name, reply, kwargs) for _ in range(5)))) > LIMIT_S:
                slow.append((number, reply[:40], kwargs, round(took, 3)))
    assert not slow


def _seconds(name, reply, kwargs):
    started = time.process_time()
    score(name, reply, **kwargs)
    return time.process_time() - started
