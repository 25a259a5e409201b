"""Read a short open answer as the plain text it comes to, and say when two such texts are the same answer.

Section 8 of the grading rules. A text is compared whole: never by what it contains, so neither "opacity" nor a single
letter matches "ground-glass opacity". A refusal or a choice of alternatives is no answer.
"""

import re
from collections.abc import Sequence

from medrl.dialogue.answer_json import brackets_match
from medrl.dialogue.answer_mentions import with_json_answers
from medrl.dialogue.answer_region import agreed, normalise

MIN_STEM = 2  # letters left when a plural ending is taken off

_LEAD_IN = re.compile(
    r"""(?:
        (?:(?:the|my|final|correct)\s++)*+answer\s*+(?:is(?!\w)\s*+:?+|:)
      | it\s++is(?!\w) | it's(?!\w) | this\s++is(?!\w) | the\s++image\s++shows(?!\w)
    )\s*+""",
    re.IGNORECASE | re.VERBOSE,
)
_ARTICLE = re.compile(r"(?:an?|the)\s++(?=\S)", re.IGNORECASE)
_QUOTED = re.compile(r"""(["'])([^"']*+)\1""")
_SIGNED = re.compile(r"-[0-9]")  # -5 and 5 are two values
_HYPHENS_AND_BLANKS = re.compile(r"(?:\s|(?<=\w)-|-(?![0-9]))+")
_LAST_WORD = re.compile(r"(?<![^\W\d_])[^\W\d_]+\Z")
_NOT_FIRST = re.compile(r"not(?!\w)")
_NO_ANSWER = re.compile(
    r"(?=[/ovundc])(?:/|(?<!\w)(?:or|vs|versus|unknown|unsure|not\s+sure|don't\s+know|cannot|can't|unable)(?!\w))",
    re.IGNORECASE,
)


def read_open_short(reply: str, accepted: Sequence[str] = ()) -> str | None:
    """The plain text a reply answers, or the plain form of `accepted[0]` when it equals any accepted string.

    None when the reply is blank, refuses ("not sure"), or offers alternatives ("GGO or cyst") that are no accepted string.

    >>> accepted = ["ground-glass opacity", "GGO"]
    >>> read_open_short("<answer>It is a GGO.</answer>", accepted), read_open_short("<answer>an opacity</answer>", accepted)
    ('ground glass opacity', 'opacity')
    >>> read_open_short("<answer>GGO or a cyst</answer>", accepted) is None
    True
    """
    plain_accepted = [plain_answer(text) for text in accepted]

    def answer(region: str) -> str | None:
        text = with_json_answers(region)
        plain = plain_answer(text)
        if any(same_answer(plain, right) for right in plain_accepted):
            return plain_accepted[0]
        if not plain or _NOT_FIRST.match(plain) or _NO_ANSWER.search(text):
            return None
        return plain if brackets_match(text) else None

    return agreed(reply, answer)


def plain_answer(text: str) -> str:
    """A short answer as it is compared: no lead-in, article, enclosing quotes or final stop; hyphen = blank, lower case.

    >>> plain_answer("The final answer is: **Ground-glass**  opacity!")
    'ground glass opacity'
    """
    stated = _without_lead_in(normalise(text)).rstrip(" .!;\n")
    if quoted := _QUOTED.fullmatch(stated):
        stated = quoted[2].rstrip(" .!;\n")
    stated = stated.lstrip(" -\n") if not _SIGNED.match(stated) else stated
    if article := _ARTICLE.match(stated):
        stated = stated[article.end() :]
    return _HYPHENS_AND_BLANKS.sub(" ", stated).strip().lower()


def same_answer(plain: str, other: str) -> bool:
    """True when two plain answers are equal, but for a final s or es of the last word.

    >>> same_answer("lung nodule", "lung nodules"), same_answer("b", "bs"), same_answer("", "")
    (True, False, False)
    """
    if plain == other:
        return plain != ""
    short, long = sorted((plain, other), key=len)
    if len(long) - len(short) > len("es"):
        return False
    last = _LAST_WORD.search(short)
    return last is not None and len(last[0]) >= MIN_STEM and long in (short + "s", short + "es")


def _without_lead_in(text: str) -> str:
    """The text from where its lead-ins end: "the answer is: it is a cyst" is "a cyst"."""
    end = 0
    while lead_in := _LEAD_IN.match(text, end):
        end = lead_in.end()
    return text[end:]
