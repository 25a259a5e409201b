"""What repeating oneself costs: the share of word sequences that were said before. Give it a weight of 0.2.

A term at or below 0 and above -1: with a weight below 1 beside an answer of weight 1 it cannot put a right answer below
a wrong one.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from medrl.dialogue.answer_json import find_objects
from medrl.scoring.parts.said import replies_of

EXAMPLE = {
    "ground_truth": "B",
    "extra_info": {"kind": "choice", "options": {"A": "MRI", "B": "CT"}},
    "right": "<think>The bone is dense.</think><answer>B</answer>",
    "wrong": "<think>The bone is dense.</think><answer>A</answer>",  # a wrong answer need not repeat itself
}
MAX_OBJECTS = 2000  # further ones are words like any
# an endless "aaaa" is many words, so that leaving out blanks hides nothing; signs count, "<answer><answer>" repeats too
_WORD = re.compile(r"\w{1,20}+|[^\w\s]{1,20}+")


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: object,
    extra_info: Mapping[str, Any] | None = None,
    words: int = 6,
) -> dict[str, float]:
    """-(1 - different / all) over the sequences of `words` words in each turn; a JSON object is one sequence by itself.

    So a box named twice counts, and the keys that all boxes share do not. Source: arXiv 2502.03373, appendix C.2, and
    VLM-R1, which splits at blanks and looks at the objects alone where a reply has any. open-r1 takes `words: 3`.

    >>> compute_score("x", "the bone is dense " * 5, "B", words=3)  # 18 sequences, 4 of them different
    {'score': -0.7777777777777778, 'sequences': 18.0}
    >>> compute_score("x", '[{"bbox_2d": [1, 2, 3, 4]}, {"bbox_2d": [1, 2, 3, 4]}]', "[]")["score"]
    -0.5
    """
    if words < 1:
        raise ValueError(f"words={words}; expected a sequence of at least 1 word.")
    different, total = 0, 0
    for reply in replies_of(solution_str, extra_info):
        said = list(_sequences(reply, words))
        different, total = different + len(set(said)), total + len(said)
    return {"score": different / total - 1 if total else 0.0, "sequences": float(total)}


def _sequences(reply: str, words: int) -> Iterator[object]:
    kept, end = [], 0
    for found in islice(find_objects(reply), MAX_OBJECTS):
        if found.value is not None:
            yield repr(found.value)
            kept.append(reply[end : found.start])
            end = found.end
    said = _WORD.findall(" ".join([*kept, reply[end:]]).lower())
    yield from zip(*(said[first:] for first in range(words)))
