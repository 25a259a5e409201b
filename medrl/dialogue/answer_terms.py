"""Which terms of a vocabulary a free text asserts, doubts or denies: "no effusion" is not an effusion.

Whole words only, the longest term first; a hyphen is a space and the last word may differ by a final s or es. Denial and
doubt reach over the rest of their clause (assertion_words.py): rules, no parser. One pass over the words.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from medrl.dialogue.answer_json import JsonFault, brackets_match, parse_json
from medrl.dialogue.answer_mentions import with_json_answers
from medrl.dialogue.answer_region import agreed
from medrl.dialogue.assertion_words import phrases


class Status(IntEnum):
    """What a text says of a term. Of several statements the highest holds, as in the CheXpert labeller."""

    ABSENT = 0
    UNCERTAIN = 1
    PRESENT = 2


@dataclass(frozen=True)
class Vocabulary:
    """Terms ready to be found. `entries`: words -> (name of the term or "", effect of a phrase or ""); `lengths`: first
    word -> how many words the entries have that begin with it, the longest first."""

    names: tuple[str, ...]
    entries: Mapping[tuple[str, ...], tuple[str, str]] = field(repr=False)
    lengths: Mapping[str, tuple[int, ...]] = field(repr=False)


_WORD = re.compile(r"[0-9]+(?:[.,][0-9]+)*+|[^\W_]+|[.;:!?\n]")
_ENDS = frozenset(".;!\n")  # of a clause, all read as "."
_PLURALS = ("s", "es")
MAX_CHARACTERS = 20_000  # of a free-text answer; a long report takes 5,000, more is a flood of words
_MIN_STEM = 3  # letters: "masses" and "mass" are one word, "us" and "u" two


def read_text(reply: str) -> str | None:
    """The text a reply answers with, in normal form; None without an answer, with several that differ, or with a flood.

    >>> read_text("<think>hm</think><answer> Small  **effusion**. </answer>"), read_text("<think>effusion")
    ('Small effusion.', None)
    """
    return agreed(reply, lambda region: None if len(region) > MAX_CHARACTERS else with_json_answers(region) or None)


def read_statements(reply: str) -> str | None:
    r"""As `read_text`, a JSON value written out as one statement a line; None also for JSON cut short.

    >>> read_statements('<answer>{"effusion": false, "other": ["edema", "rib fracture"]}</answer>')
    'effusion: no\nother: edema\nother: rib fracture'
    """
    text = read_text(reply)
    if text is None or text[0] not in "{[":
        return text
    try:
        return "\n".join(_statements(parse_json(text), ())) or "none"
    except JsonFault:
        return text if brackets_match(text) else None


def make_vocabulary(terms: Mapping[str, Iterable[str]]) -> Vocabulary:
    """From each name and its ways of writing. Raises ValueError where two names share one, or one holds no word.

    >>> make_vocabulary({"edema": ["edema", "pulmonary oedema"]}).names
    ('edema',)
    """
    found: dict[tuple[str, ...], tuple[str, str]] = {}
    for name, ways in terms.items():
        for way in ways:
            words = tuple(word for word in words_of(way) if word not in ".:?")
            if not words:
                raise ValueError(f"the term {name!r} has the synonym {way!r}, which holds no word. Remove it.")
            if found.setdefault(words, (name, ""))[0] != name:
                raise ValueError(f"{way!r} is listed under {name!r} and {found[words][0]!r}. Keep one of them.")
    exact = list(found.items())
    for words, entry in exact:
        for last in _other_numbers(words[-1]):
            found.setdefault((*words[:-1], last), entry)
    for phrase, effect in phrases():
        found.setdefault(tuple(words_of(phrase)), ("", effect))
    lengths: dict[str, set[int]] = {}
    for words in found:
        lengths.setdefault(words[0], set()).add(len(words))
    longest_first = {first: tuple(sorted(known, reverse=True)) for first, known in lengths.items()}
    return Vocabulary(tuple(terms), found, longest_first)


def find_terms(text: str, vocabulary: Vocabulary) -> dict[str, Status]:
    """Each term of the vocabulary that the text speaks of, and what it says of it.

    >>> words = make_vocabulary({"effusion": ["effusion"], "edema": ["oedema"], "large heart": ["enlarged heart"]})
    >>> {name: status.name for name, status in find_terms("Enlarged heart, no oedema. Possible effusions.", words).items()}
    {'large heart': 'PRESENT', 'edema': 'ABSENT', 'effusion': 'UNCERTAIN'}
    """
    words = [*words_of(text), "."]
    found: dict[str, Status] = {}
    said: list[str] = []  # terms of this clause under the same `status`, which the next words may still change
    status = Status.PRESENT

    def settle(as_status: Status) -> None:
        for name in said:
            found[name] = max(found.get(name, as_status), as_status)
        said.clear()

    place = 0
    while place < len(words):
        length, name, effect = _longest(vocabulary, words, place)
        end = effect == "" and name == "" and words[place] in ".:"
        place += length
        if name:
            said.append(name)
        elif effect == "denied" or effect == "doubted":
            # "no effusion is seen" has its denial already; "cannot be excluded" weakens both
            settle(min(status, Status.ABSENT) if effect == "denied" else Status.UNCERTAIN)
            status = Status.PRESENT if words[place - 1] == "." else status
        elif effect == "or" and said and status == Status.PRESENT:
            status = Status.UNCERTAIN  # "effusion or oedema": neither is asserted
        elif effect in ("deny", "doubt", "turn") or end:
            settle(status)
            status = {"deny": Status.ABSENT, "doubt": Status.UNCERTAIN}.get(effect, Status.PRESENT)
    settle(status)
    return found


def says_none(text: str) -> bool:
    """Whether a text says that there is nothing to find, for questions where that is the right answer.

    >>> says_none("None."), says_none("I see lungs."), says_none("The lungs are not normal.")
    (True, False, False)
    """
    return find_terms(text, _NOTHING).get("nothing", Status.ABSENT) > Status.ABSENT


def words_of(text: str) -> list[str]:
    """Words and numbers in lower case, and the marks that end a clause, as `.`, `:` or `?`.

    >>> words_of("Can't exclude a 1.5 cm Ground-glass nodule!")
    ['can', 'not', 'exclude', 'a', '1.5', 'cm', 'ground', 'glass', 'nodule', '.']
    """
    plain = text.lower().replace("can't", "can not").replace("cannot", "can not").replace("n't", " not")
    return ["." if word in _ENDS else word for word in _WORD.findall(plain)]


def _longest(vocabulary: Vocabulary, words: list[str], place: int) -> tuple[int, str, str]:
    """(words taken, term or "", effect or "") of the longest entry that stands at this place."""
    for length in vocabulary.lengths.get(words[place], ()):
        entry = vocabulary.entries.get(tuple(words[place : place + length]))
        if entry:
            return length, *entry
    return 1, "", ""


def _other_numbers(word: str) -> list[str]:
    """The word with a plural ending more, and with one less.

    >>> _other_numbers("nodules")
    ['noduless', 'noduleses', 'nodule', 'nodul']
    """
    fewer = [word[: -len(end)] for end in _PLURALS if word.endswith(end) and len(word) - len(end) >= _MIN_STEM]
    return [word + end for end in _PLURALS if word.isalpha()] + fewer


def _statements(value: object, keys: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, held in value.items():
            yield from _statements(held, (*keys, str(key)))
    elif isinstance(value, list):
        for held in value:
            yield from _statements(held, keys)
    else:
        # 0 and 1 are how labellers write no and yes
        word = "yes" if value in (True, 1) else "no" if value in (False, 0) else "none" if value is None else str(value)
        yield ": ".join((*keys, word))


_NOTHING = make_vocabulary(
    {
        "nothing": [
            "none", "nothing", "normal", "unremarkable", "no finding", "no abnormality", "no abnormal finding",
            "no acute abnormality", "no acute finding", "no acute process", "no acute disease", "no acute cardiopulmonary process",
            "no acute cardiopulmonary abnormality", "no acute cardiopulmonary disease", "no disease", "healthy", "lungs are clear",
        ]
    }
)  # fmt: skip
