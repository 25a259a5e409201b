"""Read the set of options a "select all that apply" reply stands by.

Section 6 of the grading rules. Options are mentioned as in a single choice; the set is all that are mentioned. "or", a
letter that is no option in a list of letters, and a letter labelled with another option's text make it unread.
"""

import re
from collections.abc import Mapping
from itertools import pairwise

from medrl.dialogue.answer_choice import LONE_LETTER, OptionMentions, find_options, is_letter_list, unwrapped
from medrl.dialogue.answer_mentions import Mention, asserted, is_rejected
from medrl.dialogue.answer_region import agreed

_RUN_OF_CAPITALS = re.compile(r"[A-Z]{2,}")
_ALTERNATIVE = re.compile(r"(?<!\w)(?:or|vs|versus)(?!\w)", re.IGNORECASE)
_ALL = re.compile(
    r"(?<!\w)all of the above(?!\w)(?P<exception>,? (?:except|but|apart|save|other than)(?!\w))?", re.IGNORECASE
)
_LIST_GAP = re.compile(r"\s*+(?:[,;/&]\s*+(?:and\s++)?+|(?<=\s)and\s++)", re.IGNORECASE)
_PRONOUN_GOES_ON = re.compile(r"['\s][A-Za-z]")  # "A and C, I think"
_LETTER_LABELS_TEXT = re.compile(r"""\s*+[.:)=\]}([-][\s"'(\[]*""")
_TEXT_LABELS_LETTER = re.compile(r"""\s*+[:=(\[][\s"'(\[]*""")


def read_multi_choice(reply: str, options: Mapping[str, str]) -> frozenset[str] | None:
    """The letters of all options a reply stands by; None when it names none, offers alternatives, or is inconsistent.

    >>> options = {"A": "Drusen", "B": "Exudate", "C": "Haemorrhage"}
    >>> sorted(read_multi_choice("<answer>CA</answer>", options)), read_multi_choice("<answer>A or C</answer>", options)
    (['A', 'C'], None)
    """
    return agreed(reply, lambda region: _option_set(region, options))


def _option_set(region: str, options: Mapping[str, str]) -> frozenset[str] | None:
    found = find_options(region, options)
    if found is None:
        return None
    letters = {letter.upper(): letter for letter in options}
    bare = unwrapped(found.text).strip(" .,;!\n")
    if not found.texts and _RUN_OF_CAPITALS.fullmatch(bare):
        return frozenset(letters[sign] for sign in bare) if letters.keys() >= set(bare) else None
    if _lists_a_foreign_letter(found, letters):
        return None
    mentions = found.joined()
    chosen = asserted(found.text, mentions)
    kept = [mention for mention in mentions if mention.value in chosen]
    if _offers_alternatives(found, kept) or _mislabels(found, kept):
        return None
    told = _ALL.finditer(found.text) if "of the above" in found.text.lower() else ()
    everything = next((match for match in told if not found.hidden[match.start()]), None)
    if everything is None or is_rejected(found.text, everything.start(), everything.end()):
        return frozenset(chosen) or None
    denied = {mention.value for mention in mentions} - chosen  # "all of the above but not B" names its exception
    if (everything["exception"] and not denied) or (chosen and chosen | denied != set(options)):
        return None
    return frozenset(options) - denied or None


def _lists_a_foreign_letter(found: OptionMentions, letters: Mapping[str, str]) -> bool:
    """True when a letter that is no option stands in a list with others: "A, C, G"."""
    any_case = is_letter_list(found.text)
    last_end: int | None = None
    last_is_option = False
    for match in LONE_LETTER.finditer(found.text):  # not many: `find_options` sees to it
        start, end = match.span()
        if found.hidden[start] or not (any_case or match[0].isupper()):
            continue
        is_option = match[0].upper() in letters
        if match[0] == "I" and not is_option and not any_case and _PRONOUN_GOES_ON.match(found.text, end):
            continue
        in_list = last_end is not None and _LIST_GAP.fullmatch(found.text, last_end, start)
        if (any_case and not is_option) or (in_list and is_option != last_is_option):
            return True
        last_end, last_is_option = end, is_option
    return False


def _offers_alternatives(found: OptionMentions, kept: list[Mention[str]]) -> bool:
    """True when "or" stands between two options the text does not reject; one inside an option's text is no offer."""
    if len(kept) < 2:
        return False
    between = _ALTERNATIVE.finditer(found.text, kept[0].end, kept[-1].start)
    return any(not found.hidden[match.start()] for match in between)


def _mislabels(found: OptionMentions, kept: list[Mention[str]]) -> bool:
    """True for "A: Exudate" where A is another option; a list "A, B: drusen and exudate" labels no single text."""
    texts, letters = set(found.texts), set(found.letters)
    same_sets = {mention.value for mention in texts} == {mention.value for mention in letters}
    for place, (first, second) in enumerate(pairwise(kept)):
        if first in letters and second in texts:
            label = _LETTER_LABELS_TEXT
        elif first in texts and second in letters:
            label = _TEXT_LABELS_LETTER
        else:
            continue
        ends_list = place > 0 and kept[place - 1] in letters and first in letters
        if label.fullmatch(found.text, first.end, second.start) and not (ends_list and same_sets):
            return True
    return False
