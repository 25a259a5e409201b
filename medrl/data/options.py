"""The options of a choice question as text: how medrl writes them behind a question, and how it reads them out of one.

Reading is careful: an option text may hold commas and brackets, so a letter counts as a marker only where it continues
A, B, C, … and stands after a comma, a semicolon or a line break. Whatever does not form such a list is no list.
"""

import re
from collections.abc import Iterable
from itertools import pairwise

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# how published sets mark option X; the first form found in a question is the one it uses
MARKERS = (r"{letter}\)\s*", r"\({letter}\)\s*", r"{letter}\.\s+", r"{letter}:\s+")
BEFORE_FIRST = r"(?:^|(?<=[\s,;:?.]))"
BEFORE_OTHERS = r"\s*[,;\n]\s*"


def letter_options(texts: Iterable[str]) -> dict[str, str]:
    """Texts under the letters A, B, C, … in the given order."""
    return dict(zip(LETTERS, texts))


def list_options(question: str, options: dict[str, str]) -> str:
    """The question with its options behind it, in the one form medrl uses.

    >>> list_options("What is shown?", {"A": "CT, plain", "B": "MRI"})
    'What is shown? A) CT, plain, B) MRI'
    """
    return f"{question} {', '.join(f'{letter}) {text}' for letter, text in options.items())}"


def split_options(text: str) -> tuple[str, dict[str, str]] | None:
    """The question without its options, and the options by letter; None when there is no list of at least two.

    >>> split_options("Which one? A)Positron emission tomography (PET), B)CT, contrast-enhanced, C)MRI")
    ('Which one?', {'A': 'Positron emission tomography (PET)', 'B': 'CT, contrast-enhanced', 'C': 'MRI'})
    """
    for marker in MARKERS:
        # from the last "A)" backwards: an earlier one belongs to the question
        for first in reversed(list(re.finditer(BEFORE_FIRST + marker.format(letter="A"), text))):
            options = _chain(text, first.end(), marker)
            if len(options) >= 2 and all(options.values()) and len(set(options.values())) == len(options):
                return text[: first.start()].strip(), options
    return None


def _chain(text: str, start: int, marker: str) -> dict[str, str]:
    """The options from `start`, where the text of A begins, as far as the letters run on."""
    options = {}
    for letter, following in pairwise(LETTERS):
        match = re.compile(BEFORE_OTHERS + marker.format(letter=following)).search(text, start)
        options[letter] = text[start : match.start() if match else len(text)].strip()
        if match is None:
            break
        start = match.end()
    return options
