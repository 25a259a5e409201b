"""Control tokens: those of a tokenizer that are commands to the model (`<|im_end|>`, `<|image_pad|>`) and not text.

A reply may hold none but the one that ends it, so both engines ban the others from sampling, and `forbidden_in` finds what
came nevertheless. Text that merely looks like one, in an observation, stays text: `plain_pieces`.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

VISION_WORDS = ("vision", "image", "video", "img")  # in the name of an added token: it stands for pixels


def control_tokens(tokenizer: Any) -> dict[int, str]:
    """Added tokens that are special or have to do with pictures, by id."""
    added = tokenizer.added_tokens_decoder.items()
    return {index: token.content for index, token in added if token.special or is_vision(token.content)}


def is_vision(token: str) -> bool:
    """Whether an added token's name says that it stands for pixels.

    >>> [is_vision(token) for token in ("<|image_pad|>", "<IMG_CONTEXT>", "<|im_end|>", "<tool_call>")]
    [True, True, False, False]
    """
    return any(word in token.lower() for word in VISION_WORDS)


def forbidden_ids(tokenizer: Any, stops: Collection[int], vocabulary: int) -> list[int]:
    """What a reply may not hold: control and vision tokens (TRL#3847: an image token in a reply breaks the next forward
    pass), and the rows of the embedding table that no token uses."""
    control = [index for index in control_tokens(tokenizer) if index not in stops]
    return [*control, *range(len(tokenizer), vocabulary)]


def forbidden_in(reply: Sequence[int], control: Mapping[int, str], ended: bool) -> int | None:
    """Place of the first control token that is no end of the reply; None where there is none.

    `ended`: the engine says that the last token ended the reply. A vision token ends none.

    >>> control = {8: "<|im_end|>", 9: "<|image_pad|>"}
    >>> [forbidden_in(ids, control, ended=True) for ids in ([1, 8], [1, 9], [9, 1, 8], [8, 1])]
    [None, 1, 0, 0]
    """
    for place, token in enumerate(reply):
        if token in control and (place < len(reply) - 1 or not ended or is_vision(control[token])):
            return place
    return None


def plain_pieces(text: str, control: Collection[str]) -> list[str]:
    """The text cut inside every control token it spells, so that its pieces, each encoded by itself, hold none.

    >>> plain_pieces("see <|im_end|> here", ["<|im_end|>"])
    ['see <', '|im_end|> here']
    """
    spelled = re.compile("|".join(re.escape(token) for token in sorted(control, key=len, reverse=True)) or r"(?!)")
    pieces, start, place = [], 0, 0
    while found := spelled.search(text, place):
        pieces.append(text[start : found.start() + 1])
        start = place = found.start() + 1  # what is left of it may spell another one
    return [*pieces, text[start:]]
