"""Read which options of a multiple-choice question a text mentions: by letter, by text, or by both.

Section 5 of the grading rules. An option's text hides the letters inside it, a longer text hides a shorter one, and a
letter counts only where it cannot be an ordinary letter or the article "a".
"""

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, islice

from medrl.dialogue.answer_json import brackets_match
from medrl.dialogue.answer_mentions import MAX_MENTIONS, Mention, asserted, with_json_answers
from medrl.dialogue.answer_region import agreed, normalise

MAX_LETTERS = 2000  # single letters in a region; more are noise, whether they name an option or are the article
MIN_STEM = 2  # letters left when a plural ending is taken off: "yes" is no plural of "y"

_LATIN = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff\u0300-\u036f"
LONE_LETTER = re.compile(rf"[A-Za-z](?<![{_LATIN}\d-].)(?![{_LATIN}\d-])")  # the letter first: found far faster
_OPENING = re.compile(r"""["'(\[{\s]*""")
_CLOSED_AFTER = re.compile(r" ?[)\]}]")
_PAUSE_AFTER = re.compile(r" ?[.:,;]| -|\n")
_CUE_BEFORE = re.compile(r"""(?<!\w)(?:answer|option|choice)(?:\s+is)?\s*:?\s*["'(\[{]*\Z""", re.IGNORECASE)
_WRAPPERS = "\"'()[]{}"
_NOT_IN_A_LIST = re.compile(r"""[^\s,;/&."'()\[\]{}A-Za-z]""")
_WORD = re.compile(r"[A-Za-z]{2,}")
_SEPARATORS = re.compile(r"(?:[\s,;/&]|(?<![A-Za-z])and(?![A-Za-z]))++", re.IGNORECASE)
_BETWEEN_LETTER_AND_TEXT = re.compile(r"""[\s.:,;()\[\]{}"'=/-]*+""")
_LETTER_WORD = r"(?:and|or|nor|vs|is|was|because|but)(?!\w)"  # before one of these "A" is a letter
_ARTICLE_FOLLOWED = re.compile(rf" (?!{_LETTER_WORD})\w", re.IGNORECASE)
_LEADING_ARTICLE = re.compile(rf"\A(?:an|the|a(?! {_LETTER_WORD})) (?=\w)", re.IGNORECASE)
_LAST_WORD = re.compile(r"(?<![A-Za-z])[A-Za-z]{2,}\Z")


@dataclass(frozen=True)
class OptionMentions:
    """The plain text of a region, where it names options by text and by letter, and which characters texts cover."""

    text: str
    texts: list[Mention[str]]
    letters: list[Mention[str]]
    hidden: bytearray

    def joined(self) -> list[Mention[str]]:
        """Both lists in order; a letter and the text of its option side by side are one mention."""
        return _joined(self.text, self.texts, self.letters)


@dataclass(frozen=True)
class _Text:
    """How one option's text is found; the group `exact` holds its last word when that is written as in the option.

    `clue`: lower-case letters without which the pattern, which is much slower to look for, cannot be there.
    """

    letter: str
    clue: str
    pattern: re.Pattern[str]


def read_choice(reply: str, options: Mapping[str, str]) -> str | None:
    """The one option a reply stands by, as its letter; None when it names none, several, or contradicts itself.

    >>> options = {"A": "MRI", "B": "CT"}
    >>> read_choice("<answer>b) ct scan</answer>", options), read_choice("<answer>A or B</answer>", options)
    ('B', None)
    """

    def one_option(region: str) -> str | None:
        letters = read_options(region, options)
        return letters.pop() if len(letters) == 1 else None

    return agreed(reply, one_option)


def read_options(region: str, options: Mapping[str, str]) -> set[str]:
    """The letters of all options one region of a reply stands by.

    >>> read_options("A, C but not B", {"A": "MRI", "B": "CT", "C": "PET"}) == {"A", "C"}
    True
    """
    found = find_options(region, options)
    return asserted(found.text, found.joined()) if found else set()


def find_options(region: str, options: Mapping[str, str]) -> OptionMentions | None:
    """Everything in one region that names an option, rejected or not; None when a bracket is missing or too
    many, or it is a flood of letters.

    >>> found = find_options("B (CT), not A", {"A": "MRI", "B": "CT"})
    >>> [mention.value for mention in found.texts], [mention.value for mention in found.joined()]
    (['B'], ['B', 'A'])
    """
    text = with_json_answers(region)
    if sum(1 for _ in islice(LONE_LETTER.finditer(text), MAX_LETTERS + 1)) > MAX_LETTERS:
        return None
    texts = _text_mentions(text, _text_patterns(tuple(options.items())))
    hidden = bytearray(len(text))
    for mention in texts:
        hidden[mention.start : mention.end] = b"\x01" * (mention.end - mention.start)
    # an option may own an odd bracket, "[0, 5)"; any other is JSON cut short or with a bracket too many
    if not brackets_match(text) and not brackets_match(_uncovered(text, hidden)):
        return None
    letters = _letter_mentions(text, {letter.upper(): letter for letter in options}, hidden)
    return OptionMentions(text, texts, letters, hidden)


def plain_option(text: str) -> str:
    """An option's text as it is compared: normal form, lower case, no leading article, hyphen = space, no final stop.

    >>> plain_option("The Ground-glass  opacity.")
    'ground glass opacity'
    """
    return " ".join(re.split(r"[\s-]+", _bare(text))).lower().strip()


def _bare(text: str) -> str:
    return _LEADING_ARTICLE.sub("", normalise(text).rstrip(" .,;!"))


@lru_cache(maxsize=256)
def _text_patterns(options: tuple[tuple[str, str], ...]) -> tuple[_Text, ...]:
    texts = ((letter, _bare(text)) for letter, text in options)
    return tuple(_Text(letter, _clue(text), _pattern(text)) for letter, text in texts if text.strip("- "))


def _clue(text: str) -> str:
    first, *others = re.split(r"[\s-]+", text.strip("- ").lower())
    return first if others else first[: max(1, len(first) - len("es"))]


def _pattern(text: str) -> re.Pattern[str]:
    """The option's words with blanks or hyphens between; the last one may differ by a final s or es."""
    sign = text[0] if re.match(r"[-+]\d", text) else ""  # -5 and 5 are two values
    words = [word for word in re.split(r"[\s-]+", text[len(sign) :]) if word]
    last = _LAST_WORD.search(words[-1])
    stem, ending = (words[-1][: last.start()], last[0]) if last else (words[-1], "")
    others = [ending + "s", ending + "es"] if ending else []
    others += [ending[: -len(plural)] for plural in ("s", "es") if _is_plural(ending, plural)]
    final = f"(?P<exact>{re.escape(ending)})" + "".join(f"|{other}" for other in others)
    pieces = [*map(re.escape, words[:-1]), re.escape(stem) + f"(?:{final})"]
    number_before = r"(?<!\d[.,])(?<!(?<!\w)[-+.])" if words[0][0].isdigit() and not sign else ""
    number_after = r"(?![.,]?\d)" if words[-1][-1].isdigit() else ""
    word_before = r"(?<!\w)" if sign or _is_word(words[0][0]) else ""
    word_after = r"(?!\w)" if _is_word(words[-1][-1]) else ""
    body = re.escape(sign) + r"[\s-]++".join(pieces)
    # a text of one letter (blood group A) would otherwise be found in every "a"
    flags = re.NOFLAG if len(text) == 1 else re.IGNORECASE
    return re.compile(word_before + number_before + f"(?:{body})" + word_after + number_after, flags)


def _is_plural(word: str, ending: str) -> bool:
    return word.lower().endswith(ending) and len(word) - len(ending) >= MIN_STEM


def _is_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"


def _text_mentions(text: str, patterns: tuple[_Text, ...]) -> list[Mention[str]]:
    """Where options are named by text: what lies inside a longer find is dropped, an exact find beats a plural."""
    found = []
    lower = text.lower()
    for option in patterns:
        if option.clue not in lower:
            continue
        for match in islice(option.pattern.finditer(text), MAX_MENTIONS + 1):
            found.append((match.start(), -match.end(), match["exact"] is None, option.letter))
    kept, covered_to = [], -1
    # by start, the longer first, so that whatever contains a find has been seen before it
    for (start, minus_end), group in groupby(sorted(found), key=lambda find: find[:2]):
        if -minus_end <= covered_to:
            continue
        covered_to = -minus_end
        same_place = list(group)
        as_exact_as_the_first = [find for find in same_place if find[2] == same_place[0][2]]
        kept += [Mention(letter, start, -minus_end) for _, _, _, letter in as_exact_as_the_first]
    return kept


def _uncovered(text: str, hidden: bytearray) -> str:
    return "".join(" " if covered else sign for sign, covered in zip(text, hidden))


def _letter_mentions(text: str, letters: Mapping[str, str], hidden: bytearray) -> list[Mention[str]]:
    only_letters = is_letter_list(text)
    first = _first_place(text)
    found = []
    for match in LONE_LETTER.finditer(text):
        letter = letters.get(match[0].upper())
        start, end = match.span()
        if letter is None or hidden[start]:
            continue
        if not only_letters:
            if match[0] in "Aa" and _ARTICLE_FOLLOWED.match(text, end):
                continue
            if match[0].islower() and not _names_an_option(text, start, end, first):
                continue
        found.append(Mention(letter, start, end))
        if len(found) > MAX_MENTIONS:
            break
    return found


def is_letter_list(text: str) -> bool:
    """True for a region of single letters and separators: "a, c", "B / D", "[A and C]"."""
    if _NOT_IN_A_LIST.search(text) or any(word[0].lower() != "and" for word in _WORD.finditer(text)):
        return False
    parts = [part for part in _SEPARATORS.split(unwrapped(text).rstrip(" .")) if part]
    return bool(parts) and all(len(part) == 1 and part in string.ascii_letters for part in parts)


def unwrapped(text: str) -> str:
    """The text without brackets and quotes."""
    for sign in _WRAPPERS:  # str.translate takes 100 ns for each character, this next to nothing
        text = text.replace(sign, "")
    return text


def _first_place(text: str) -> int:
    opening = _OPENING.match(text)
    assert opening is not None  # it matches nothing at all, too
    return opening.end()


def _names_an_option(text: str, start: int, end: int, first: int) -> bool:
    """True where even a lower-case letter is an option: in brackets, before `)`, first and set off, after a cue."""
    closed = _CLOSED_AFTER.match(text, end)
    if closed and (closed[0].endswith(")") or text[max(0, start - 2) : start].rstrip()[-1:] in ("[", "{")):
        return True
    if start == first and _PAUSE_AFTER.match(text, end):
        return True
    return _CUE_BEFORE.search(text, max(0, start - 32), start) is not None


def _joined(text: str, texts: list[Mention[str]], letters: list[Mention[str]]) -> list[Mention[str]]:
    """One list in order, a letter beside its text merged into one: "not C (Gram)" rejects both."""
    joined: list[Mention[str]] = []
    last_is_text = False
    tagged = [(mention, True) for mention in texts] + [(mention, False) for mention in letters]
    for mention, is_text in sorted(tagged, key=lambda pair: pair[0].start):
        last = joined[-1] if joined else None
        if last and last.value == mention.value and last_is_text != is_text and last.end <= mention.start:
            between = _BETWEEN_LETTER_AND_TEXT.match(text, last.end, mention.start)
            if between and between.end() == mention.start:
                joined[-1] = Mention(last.value, last.start, mention.end)
                last_is_text = is_text
                continue
        joined.append(mention)
        last_is_text = is_text
    return joined
