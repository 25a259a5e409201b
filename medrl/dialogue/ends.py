"""Where an action ends in a reply that is still being made, for ways of writing actions whose end is several tokens.

Tokens stay as they were sampled: the last one kept is the one that completes the end, whatever else it spells.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class TextEnd:
    """A text that ends a reply. `closing_ids`: the tokens that can complete it; after others nobody has to look."""

    text: str
    decode: Callable[[list[int]], str]
    closing_ids: frozenset[int]

    def ends(self, reply: Sequence[int]) -> bool:
        """Whether a reply that had not ended has now, with its last token."""
        if not reply or reply[-1] not in self.closing_ids:
            return False
        return self.text in self.decode(list(reply[-len(self.text) :]))  # each token spells one character or more of it

    def cut(self, reply: Sequence[int]) -> int:
        """How many tokens of a reply it takes to complete the end; all of them where it has none."""
        return next((length for length in range(1, len(reply) + 1) if self.ends(reply[:length])), len(reply))


def text_end(tokenizer: Any, decode: Callable[[list[int]], str], text: str) -> TextEnd:
    """`text`: ASCII and no blank at its end, such as `</grounding>`. Printable ASCII stands for itself in the vocabulary, or
    is one of its byte tokens (`<0x3E>`)."""
    vocabulary = tokenizer.get_vocab().items()
    closing = frozenset(index for token, index in vocabulary if text[-1] in token or token.startswith("<0x"))
    return TextEnd(text, decode, closing)
