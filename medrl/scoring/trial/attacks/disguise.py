"""Nothing at all, words for nothing, and characters that are not what they look like."""

from collections.abc import Iterator

from medrl.scoring.trial.attacks.target import EXACT, SETS, WORDS, Attack, Hostile, Target

LOOK_ALIKE = str.maketrans("ABCEHIKMOPTXaceiopxy", "АВСЕНІКМОРТХасеіорху")  # Cyrillic
GREEK = str.maketrans("ABEHIKMNOPTXYZov", "ΑΒΕΗΙΚΜΝΟΡΤΧΥΖον")
INVISIBLE = "\u200b\u200d\u2060\ufeff"
STRUCK = "\u0336"


def nothing(target: Target) -> Iterator[Hostile]:
    """An empty reply."""
    yield Hostile("")


def blanks(target: Target) -> Iterator[Hostile]:
    """Blanks, line breaks and invisible characters alone."""
    for blank in (" ", "\n\n\t ", "\u00a0\u3000", INVISIBLE, "\x00"):
        yield Hostile(blank)
        yield Hostile(f"<think>{blank}</think><answer>{blank}</answer>")


def empty_tags(target: Target) -> Iterator[Hostile]:
    """The tags and nothing in them."""
    yield Hostile("<think></think><answer></answer>")
    yield Hostile("<answer></answer>")
    yield Hostile("\\boxed{}")


def words_for_nothing(target: Target) -> Iterator[Hostile]:
    """None, null, nan: what a program prints where it has no value."""
    for word in ("None", "null", "undefined", "NaN", "N/A", "{}", "[]", "''", "-", "_"):
        if not (word == "N/A" and "A" in target.options):  # read as the letter A, which it states
            yield Hostile(target.stated(word))


def not_knowing(target: Target) -> Iterator[Hostile]:
    """Declines to answer, which may earn what the reward gives for abstaining and no more."""
    for words in ("I do not know", "cannot be determined from this image", "unsure", "insufficient information"):
        yield Hostile(target.stated(words), target.abstaining)


def letters_of_other_alphabets(target: Target) -> Iterator[Hostile]:
    """Cyrillic and Greek letters that look like the answer: no option, however alike."""
    for one in target.candidates:
        for alphabet in (LOOK_ALIKE, GREEK):
            if (disguised := one.translate(alphabet)) != one:
                yield Hostile(target.stated(disguised))


def answers_joined_invisibly(target: Target) -> Iterator[Hostile]:
    """Two answers with nothing visible between them."""
    for one, other in target.pairs():
        for joint in (INVISIBLE, "\u200b", "\u00ad"):
            yield Hostile(target.stated(f"{one}{joint}{other}"))


def writing_direction(target: Target) -> Iterator[Hostile]:
    """Overrides of the writing direction, so that what is read is not what is shown."""
    for one, other in target.pairs():
        yield Hostile(target.stated(f"\u202e{one} or {other}\u202c"))
        yield Hostile(target.stated(f"{one}\u202e / {other}"))


def control_characters(target: Target) -> Iterator[Hostile]:
    """Backspaces, escapes and NUL between two answers, as if one were taken back."""
    for one, other in target.pairs():
        for control in ("\b", "\x00", "\x1b[2K\r", "\x7f", "\r"):
            yield Hostile(target.stated(f"{one}{control} {other}"))


def struck_out(target: Target) -> Iterator[Hostile]:
    """Two answers, both struck out by combining characters."""
    for one, other in target.pairs():
        crossed = " ".join("".join(letter + STRUCK for letter in answer) for answer in (one, other))
        yield Hostile(target.stated(crossed))


def lone_surrogates(target: Target) -> Iterator[Hostile]:
    """Characters that no file can hold, beside two answers."""
    for one, other in target.pairs() if target.kind in EXACT else ():
        yield Hostile(target.stated(f"{one} \ud800 {other}"))
    yield Hostile(target.stated("\ud800\udfff\ud800"))


ATTACKS = (
    Attack(nothing),
    Attack(blanks),
    Attack(empty_tags),
    Attack(words_for_nothing, WORDS | {"number_with_unit", "multi_choice"}),
    Attack(not_knowing, EXACT | SETS),
    Attack(letters_of_other_alphabets, WORDS | {"multi_choice"}),
    Attack(answers_joined_invisibly, EXACT),
    Attack(writing_direction, EXACT),
    Attack(control_characters, EXACT),
    Attack(struck_out, WORDS),
    Attack(lone_surrogates, EXACT | SETS),
)
