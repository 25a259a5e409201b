"""English words that deny or doubt a term of a clinical text, by what they do to the terms of their clause.

A short list of our own in the manner of NegEx (Chapman 2001) and the CheXpert labeller (Irvin 2019). All in lower case,
`n't` and `cannot` written out. `:` stands for a colon.
"""

from collections.abc import Iterator
from typing import Literal

# deny, doubt: what comes after; denied, doubted: what came before; turn: back to plain statement; plain: no effect
Effect = Literal["deny", "doubt", "denied", "doubted", "turn", "plain", "or"]

_BE = ("is", "are", "was", "were", "has", "have", "has been", "have been")
_GONE = (
    "absent",
    "resolved",
    "cleared",
    "excluded",
    "ruled out",
    "removed",
    "negative",
    "unlikely",
    "wrong",
    "incorrect",
)
_SEEN = (
    "seen", "present", "identified", "visible", "visualized", "visualised", "detected", "noted", "evident", "demonstrated",
    "observed", "appreciated", "found", "apparent", "suspected",
)  # fmt: skip
_HOW = ("", "currently ", "clearly ", "definitely ", "convincingly ", "well ", "longer ")
_OPEN = ("possible", "probable", "likely", "suspected", "questionable", "uncertain", "equivocal")

DENY = (
    "no", "not", "without", "denies", "deny", "neither", "nor", "never", "none of", "negative for", "free of", "clear of",
    "absence of", "absent", "lack of", "lacks", "rather than", "instead of", "exclude", "excludes", "excluding", "excluded",
    "ruled out", "rules out", "resolution of", "resolved",
)  # fmt: skip
DOUBT = (
    "possible", "possibly", "probable", "probably", "likely", "may", "might", "could", "suspected", "suspicious for",
    "suspicion of", "suspicion for", "concern for", "concerning for", "worrisome for", "suggest", "suggests", "suggesting",
    "suggestive of", "questionable", "question of", "presumed", "equivocal", "perhaps", "can not exclude",
    "can not rule out", "not exclude", "not excluding", "not rule out", "rule out", "consider", "with or without", "unclear if",
)  # fmt: skip
OR = ("or", "vs", "versus")
TURN = (
    "but", "however", "although", "though", "except", "aside from", "apart from", "other than", "besides", "yet", "whereas",
    "while", "there is", "there are", "there was", "there were", "shows", "demonstrates", "reveals", "due to",
    "secondary to", "only", "just",
)  # fmt: skip
PLAIN = (
    "no change", "no changes", "no interval change", "no significant change", "no significant interval change",
    "without change", "without significant change", "not changed", "not significantly changed", "no increase", "no decrease",
    "no improvement", "no worsening", "not increased", "not decreased", "not improved", "not worsened", "not resolved",
    "not cleared", "not completely resolved", "not only", "no further", "no doubt", "not absent", "not negative",
)  # fmt: skip


def phrases() -> Iterator[tuple[str, Effect]]:
    """Every phrase and its effect."""
    for effect, listed in (("deny", DENY), ("doubt", DOUBT), ("turn", TURN), ("plain", PLAIN), ("or", OR)):
        for phrase in listed:
            yield phrase, effect  # type: ignore[misc]
    for seen in _SEEN:
        for how in _HOW:
            yield f"{'no' if how == 'longer ' else 'not'} {how}{seen}", "denied"
    for be in _BE:
        for gone in _GONE:
            yield f"{be} {gone}", "denied"
        for open_ in _OPEN:
            yield f"{be} {open_}", "doubted"
    for may in ("may", "might", "could"):
        yield f"{may} be present", "doubted"
    for not_ in ("can not", "could not"):
        for out in ("excluded", "entirely excluded", "ruled out"):
            yield f"{not_} be {out}", "doubted"
    for word in ("no", "none", "absent", "negative"):  # "Effusion: none", the way of structured reports
        yield f": {word} .", "denied"
    for word in ("uncertain", "possible", "unclear", "indeterminate"):
        yield f": {word} .", "doubted"
    yield "?", "doubted"
