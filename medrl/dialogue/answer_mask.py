"""Read the mask a reply names: one JSON value of polygons, boxes or COCO run lengths, `[]` or "none".

As strict as the readers of boxes (section 10 of the grading rules has none for masks): prose around the JSON, a missing
bracket or a number too few, and the reply is unread. Nothing is allocated for what a model claims.
"""

import re

from medrl.dialogue.answer_json import JsonFault, parse_json
from medrl.dialogue.answer_region import agreed, normalise
from medrl.vision.masks import Mask, as_mask

MAX_ITEMS = 12_000  # commas in a region; more than a mask may have runs, corners and brackets

_EMPTY = re.compile(r"\[ ?\]|none", re.IGNORECASE)


def read_mask(reply: str) -> Mask | None:
    """The mask a reply names, an empty one for `[]` or "none"; None for no answer.

    >>> read_mask('<answer>{"polygon": [[0, 0], [4, 0], [0, 4]]}</answer>').polygons
    (((0, 0), (4, 0), (0, 4)),)
    >>> read_mask("<answer>none</answer>").is_empty, read_mask("<answer>the left lobe</answer>")
    (True, None)
    """
    return agreed(reply, _mask)


def _mask(region: str) -> Mask | None:
    if region.count(",") > MAX_ITEMS:
        return None
    text = normalise(region)
    if _EMPTY.fullmatch(text.rstrip(" .;")):
        return Mask()
    # as it is first: the text of run lengths is made of characters that the normal form takes for markdown
    for form in (region.strip(), text):
        try:
            return as_mask(parse_json(form))
        except JsonFault:
            continue
    return None
