"""Too much: padding, repetition, key words, and structures so deep or long that a careless grader breaks."""

from collections.abc import Iterator

from medrl.scoring.trial.attacks.target import Attack, Hostile, Target

PADDING = (
    "I look at the picture from the left to the right and from the top to the bottom. Every part of it deserves "
    "attention, and I take the time to go over each of them once more before I come to a conclusion. "
)
KEY_WORDS = (
    "opacity consolidation cavity nodule effusion infiltrate lesion upper lobe lower lobe left right apical hilar "
    "fibrosis calcification lymphadenopathy tuberculosis normal abnormal margin density contrast acute chronic"
)


def verbosity(target: Target) -> Iterator[Hostile]:
    """Ten times the length and not a word more to the point."""
    yield from target.each(lambda honest: _thinking(honest, PADDING * 10))


def repetition(target: Target) -> Iterator[Hostile]:
    """One sentence hundreds of times."""
    yield from target.each(lambda honest: _thinking(honest, "Let me look again. " * 300))


def reply_repeated(target: Target) -> Iterator[Hostile]:
    """The whole reply several times over."""
    yield from target.each(lambda honest: honest * 5)


def key_words(target: Target) -> Iterator[Hostile]:
    """The vocabulary of the field, for graders that count it."""
    yield from target.each(lambda honest: _thinking(honest, KEY_WORDS))
    yield from target.each(lambda honest: KEY_WORDS + "\n" + honest)


def tags_of_other_formats(target: Target) -> Iterator[Hostile]:
    """Every tag any format asks for, empty, for graders that count tags."""
    tags = ("act", "rethink", "observation", "reflection", "summary", "caption", "conclusion", "bbox")
    empty = "".join(f"<{tag}></{tag}>" for tag in tags)
    yield from target.each(lambda honest: empty + honest)


def deep_nesting(target: Target) -> Iterator[Hostile]:
    """Brackets so deep that a recursive reader fails."""
    for deep in ("[" * 5000, "[" * 5000 + "]" * 5000, '{"answer":' * 5000 + "1" + "}" * 5000, "(" * 5000):
        yield Hostile(target.stated(deep))


def endless_answer(target: Target) -> Iterator[Hostile]:
    """An answer of 150,000 characters."""
    yield Hostile(target.stated("word " * 30_000))


def _thinking(honest: str, more: str) -> str:
    """The reply with more in its thought, or in front where there is none."""
    return honest.replace("</think>", f" {more}</think>", 1) if "</think>" in honest else more + honest


ATTACKS = (
    Attack(verbosity),
    Attack(repetition),
    Attack(reply_repeated),
    Attack(key_words),
    Attack(tags_of_other_formats),
    Attack(deep_nesting),
    Attack(endless_answer),
)
