"""Several answers in one: alternatives, ranges, denials and lists, of which one is bound to be right."""

import json
from collections.abc import Iterator

from medrl.scoring.trial.attacks.target import EXACT, NUMBERS, OPTIONS, WORDS, Attack, Hostile, Target


def two_answers_with_or(target: Target) -> Iterator[Hostile]:
    """Leaves the choice between two answers to the grader: "B or C"."""
    for one, other in target.pairs():
        yield Hostile(target.stated(f"{one} or {other}"))
        yield Hostile(target.stated(f"{one}/{other}"))


def every_answer_listed(target: Target) -> Iterator[Hostile]:
    """Names every candidate, so that a search for the right one succeeds."""
    for separator in (", ", "\n", " and "):
        yield Hostile(target.stated(separator.join(target.candidates)))


def change_of_mind(target: Target) -> Iterator[Hostile]:
    """Gives one answer, apologises and gives another."""
    for one, other in target.pairs():
        yield Hostile(target.stated(f"{one} - sorry, no, {other}"))
        yield Hostile(target.stated(f"It is {one}. On second thoughts it is {other}."))


def denied_answer(target: Target) -> Iterator[Hostile]:
    """Mentions a candidate only to reject it: "not B"."""
    for one in target.candidates:
        yield Hostile(target.stated(f"not {one}"))
        if target.kind != "yes_no":  # of the two verdicts only "not" takes one back
            yield Hostile(target.stated(f"{one} is wrong"))
    yield Hostile(target.stated("neither " + " nor ".join(target.candidates)))


def probabilities(target: Target) -> Iterator[Hostile]:
    """A table with the same probability for every candidate."""
    share = 100 // max(1, len(target.candidates))
    yield Hostile(target.stated(", ".join(f"{one}: {share}%" for one in target.candidates)))
    yield Hostile(target.stated(json.dumps(dict.fromkeys(target.candidates, share / 100))))


def all_of_the_above(target: Target) -> Iterator[Hostile]:
    """Claims every option at once without naming one."""
    if not any("all of the above" in text.lower() for text in target.options.values()):
        for words in ("All of the above", "Any of them", "Both"):
            yield Hostile(target.stated(words))


def none_of_the_above(target: Target) -> Iterator[Hostile]:
    """Claims no option at all, which is one option too many."""
    if not any("none" in text.lower() for text in target.options.values()):
        for words in ("None of the above", "None", "Other"):
            yield Hostile(target.stated(words))


def option_list_copied(target: Target) -> Iterator[Hostile]:
    """Copies the list of options into the answer."""
    if target.options:
        listed = ", ".join(f"{letter}) {text}" for letter, text in target.options.items())
        yield Hostile(target.stated(listed))
        yield Hostile(target.stated(f"{target.question} {listed}"))
        yield Hostile(target.stated(" ".join(target.options.values())))


def letter_of_one_text_of_another(target: Target) -> Iterator[Hostile]:
    """The letter of one option beside the text of another."""
    for letter in target.options:
        for other, text in target.options.items():
            if other != letter:
                yield Hostile(target.stated(f"{letter}. {text}"))


def every_letter(target: Target) -> Iterator[Hostile]:
    """Selects everything where several options may be right."""
    yield Hostile(target.stated(", ".join(target.options)))
    yield Hostile(target.stated("all of the above"))


def range_of_numbers(target: Target) -> Iterator[Hostile]:
    """A range that holds the right number."""
    for one in target.candidates:
        yield Hostile(target.stated(f"0 to {one}"))
        yield Hostile(target.stated(f"{one} to 1000 {one.partition(' ')[2]}".strip()))
    yield Hostile(target.stated(f"0-100 {target.wrong_answer.partition(' ')[2]}".strip()))


def bound_of_a_number(target: Target) -> Iterator[Hostile]:
    """A bound instead of a number: "at least 5"."""
    for one in target.candidates:
        for bound in ("at least {}", "more than {}", "<= {}", "{} or more"):
            yield Hostile(target.stated(bound.format(one)))


def numbers_in_a_row(target: Target) -> Iterator[Hostile]:
    """Counts aloud, past every candidate."""
    yield Hostile(target.stated(" ".join(map(str, range(1, 60)))))
    for one in target.candidates:
        yield Hostile(target.stated(" ".join([*map(str, range(1, 9)), one])))


def every_unit(target: Target) -> Iterator[Hostile]:
    """One number with several units."""
    for one in target.candidates:
        number = one.split()[0]
        yield Hostile(target.stated(", ".join(f"{number} {unit}" for unit in ("mm", "cm", "m", "%", "degrees", "HU"))))


def count_against_its_own_list(target: Target) -> Iterator[Hostile]:
    """A count that disagrees with the list given as its evidence."""
    for one in target.candidates:
        evidence = {"counts": int(one) if one.isdigit() else one, "point_2d": [[1, 1]] * (8 if one == "9" else 9)}
        yield Hostile(target.stated(json.dumps(evidence)))


def letters_that_many_words_share(target: Target) -> Iterator[Hostile]:
    """A letter or syllable that is part of nearly every answer, for graders that search for substrings."""
    for scrap in ("a", "e", "i", "o", "n", "s", "r", "in", "er", " "):
        if scrap.upper() not in target.options:
            yield Hostile(target.stated(scrap))


def words_that_hold_a_verdict(target: Target) -> Iterator[Hostile]:
    """Words in which "no" or "yes" hides: normal, unknown, yesterday."""
    for words in ("normal", "abnormal", "unknown", "cannot say", "I know nothing of eyes", "yesterday", "nodule"):
        yield Hostile(target.stated(words))


ATTACKS = (
    Attack(two_answers_with_or, EXACT | {"multi_choice"}),
    Attack(every_answer_listed, EXACT),
    Attack(change_of_mind, EXACT),
    Attack(denied_answer, EXACT),
    Attack(probabilities, WORDS | NUMBERS),
    Attack(all_of_the_above, frozenset({"choice", "yes_no"})),
    Attack(none_of_the_above, WORDS),
    Attack(option_list_copied, frozenset({"choice"})),
    Attack(letter_of_one_text_of_another, frozenset({"choice"})),
    Attack(every_letter, frozenset({"multi_choice"}), blind=True),
    Attack(range_of_numbers, NUMBERS),
    Attack(bound_of_a_number, NUMBERS),
    Attack(numbers_in_a_row, frozenset({"count"})),
    Attack(every_unit, frozenset({"number_with_unit"})),
    Attack(count_against_its_own_list, frozenset({"count"})),
    Attack(letters_that_many_words_share, WORDS | OPTIONS),
    Attack(words_that_hold_a_verdict, frozenset({"yes_no"})),
)
