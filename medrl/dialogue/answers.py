r"""What a reply answers, one reader per kind: the value, or None when the reply gives none, several, or a broken one.

The readers follow the grading rules to the letter, never guess, and never raise on any reply. Rewards, evaluation and
the report use these same functions. A new kind is a function `reply -> value | None` over `agreed`, in its own file.
"""

import re
from itertools import islice

from medrl.dialogue.answer_boxes import read_box, read_boxes, read_points
from medrl.dialogue.answer_choice import plain_option, read_choice
from medrl.dialogue.answer_count import read_count
from medrl.dialogue.answer_json import brackets_match
from medrl.dialogue.answer_mentions import MAX_MENTIONS, is_denied, with_json_answers
from medrl.dialogue.answer_multi_choice import read_multi_choice
from medrl.dialogue.answer_open import plain_answer, read_open_short, same_answer
from medrl.dialogue.answer_quantity import Quantity, read_number_with_unit
from medrl.dialogue.answer_region import agreed, answer_regions, format_ok, normalise
from medrl.dialogue.answer_units import unit_named

__all__ = [
    "Quantity",
    "answer_regions",
    "format_ok",
    "normalise",
    "plain_answer",
    "plain_option",
    "read_box",
    "read_boxes",
    "read_choice",
    "read_count",
    "read_multi_choice",
    "read_number_with_unit",
    "read_open_short",
    "read_points",
    "read_yes_no",
    "same_answer",
    "unit_named",
]

# "yes-man" and "no-one" are other words, "no's" too
_YES_OR_NO = re.compile(r"(?=[yn])(?<!\w)(?<!\w-)(?:yes|no)(?!\w|-\w|'\w)", re.IGNORECASE)
# "no evidence", "no (large) mass" and 'no "mass"' qualify a noun; after a blank only a pause ends the verdict, or a
# bracket after which no noun follows: "No (both lungs are clear)."
_VERDICT_ENDS = re.compile(
    r"""\Z|\n|[!-/:-@\[-`{-~。、]|\ (?:-|[.,;:!?)\]}/])
      | \ \([^()\n]{0,400}+(?:\Z|\)\ ?(?:\Z|[^\w\ (\[]))
      | [^\w\n]{1,12}(?:(?:or|and|but|then|nor|vs)[^\w\n]{1,12})?yes(?!\w)   # "no or yes" names both: no noun follows""",
    re.IGNORECASE | re.VERBOSE,
)


def read_yes_no(reply: str) -> str | None:
    """The verdict, `yes` or `no`, when exactly one of the two words is one; `no` before a noun is none.

    >>> read_yes_no("<answer>No, both lungs are clear</answer>"), read_yes_no("<answer>No fracture</answer>")
    ('no', None)
    """
    return agreed(reply, _verdict)


def _verdict(region: str) -> str | None:
    text = with_json_answers(region)
    if not brackets_match(text):  # JSON cut short, or with a bracket too many
        return None
    verdicts: set[str] = set()
    denied: set[str] = set()
    for match in islice(_YES_OR_NO.finditer(text), MAX_MENTIONS):
        word = match[0].lower()
        if word == "yes" or _VERDICT_ENDS.match(text, match.end()):
            (denied if is_denied(text, match.start()) else verdicts).add(word)
    return verdicts.pop() if len(verdicts) == 1 and not verdicts & denied else None
