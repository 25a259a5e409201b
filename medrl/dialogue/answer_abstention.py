"""Whether a reply declines to answer: its whole answer is one of a short list of phrases, and nothing else. Never raises."""

import re
from collections.abc import Sequence
from functools import lru_cache

from medrl.dialogue.answer_choice import plain_option
from medrl.dialogue.answer_mentions import with_json_answers
from medrl.dialogue.answer_region import agreed

# "unknown primary" and "indeterminate nodule" are findings, so no single word is among them but this one
PHRASES = (
    "cannot be determined", "cannot be answered", "cannot determine", "cannot answer", "cannot tell",
    "unable to determine", "unable to answer", "impossible to determine", "not determinable", "unanswerable",
    "insufficient image", "insufficient image quality", "insufficient information", "not enough information",
    "i do not know",
)  # fmt: skip
MAX_CHARACTERS = 200  # what is longer says more than that it declines

_LEAD = re.compile(r"\A(?:(?:the )?answer(?: is)?:? |it |this |i )", re.IGNORECASE)
_TAIL = re.compile(
    r" (?:from|with|based on|given) (?:this|the|these) (?:image|picture|scan|view|information)s?(?: alone)?\Z"
)
_SHORT = (("can't", "cannot"), ("can not", "cannot"), ("don't", "do not"))


def abstains(reply: str, phrases: Sequence[str] = PHRASES) -> bool:
    """True when every answer region of the reply is one of the phrases.

    "It", "I" or "the answer is" may stand before one and "from this image" behind it. A phrase inside a longer text is no
    abstention: "cannot be determined, but likely B" answers B.

    >>> abstains("<think>blurred</think><answer>It can't be determined from this image.</answer>")
    True
    >>> abstains("<answer>B, the rest cannot be determined</answer>"), abstains("<answer>B</answer> cannot be determined")
    (False, False)
    """
    wanted = _plain_phrases(tuple(phrases))

    def declines(region: str) -> bool | None:
        if len(region) > MAX_CHARACTERS:
            return None
        text = plain_phrase(with_json_answers(region))
        return True if text in wanted or _LEAD.sub("", text) in wanted else None

    return agreed(reply, declines) is True


def plain_phrase(text: str) -> str:
    """The text as phrases are compared: as options are, contractions written out, without "from this image".

    >>> plain_phrase('"Can\\'t be determined from the image."')
    'cannot be determined'
    """
    plain = plain_option(text.strip(" \n\"'()[].!")).rstrip(" .!;")
    for short, long in _SHORT:
        plain = plain.replace(short, long)
    return _TAIL.sub("", plain)


@lru_cache(maxsize=16)
def _plain_phrases(phrases: tuple[str, ...]) -> frozenset[str]:
    plain = frozenset(map(plain_phrase, phrases))
    if not plain or "" in plain:
        raise ValueError(f"phrases={phrases!r}; expected at least one, and none of them empty.")
    return plain
