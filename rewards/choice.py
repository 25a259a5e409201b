"""Score a multiple-choice answer: the letter of the right option, its text, or both; never a guess."""

import json
from collections.abc import Mapping
from typing import Any

from medrl.dialogue.answers import plain_option, read_choice

EXAMPLE = {  # a row with a right and an honest wrong reply: what `medrl reward check` and `attack` try this file on
    "ground_truth": "B",
    "extra_info": {"kind": "choice", "options": {"A": "MRI", "B": "CT", "C": "X-ray", "D": "Ultrasound"}},
    "right": "<think>The bone is dense.</think><answer>B</answer>",
    "wrong": "<think>The bone is dense.</think><answer>C</answer>",
}


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """1.0 when the reply stands by exactly one option and it is the right one, else 0.0.

    `extra_info["options"]`: letter to text, or that as JSON; letters whose text is None do not exist. `ground_truth`: a
    letter, or the text of one option. Raises ValueError when the row does not say which option is right.

    >>> options = {"options": {"A": "MRI", "B": "CT", "C": None}}
    >>> compute_score("omnimed", "<think>dense bone</think><answer>B) CT</answer>", "B", options)
    {'score': 1.0, 'answered': 1.0}
    """
    options = _options((extra_info or {}).get("options"))
    right = _right_letter(ground_truth, options)
    chosen = read_choice(solution_str, options)  # None for "A or B"
    return {"score": float(chosen == right), "answered": float(chosen is not None)}


def _options(given: Any) -> dict[str, str]:
    try:
        options = json.loads(given) if isinstance(given, str) else given
        present = {str(letter): text for letter, text in options.items() if text is not None}
    except (AttributeError, json.JSONDecodeError):  # no mapping, or no JSON of one
        present = {}
    if not present or not all(isinstance(text, (str, int, float)) for text in present.values()):
        raise ValueError(
            f'extra_info["options"] is {str(given)[:80]!r}; expected letters and their texts, {{"A": "MRI", "B": "CT"}}, '
            "as a dict or its JSON. Add the options to the row."
        )
    return {letter: str(text) for letter, text in present.items()}


def _right_letter(ground_truth: object, options: Mapping[str, str]) -> str:
    wanted = str(ground_truth).strip()
    letters = [letter for letter in options if letter.upper() == wanted.upper()]
    letters = letters or [letter for letter, text in options.items() if plain_option(text) == plain_option(wanted)]
    if len(letters) != 1:
        raise ValueError(
            f"ground_truth {ground_truth!r} is {'several' if letters else 'none'} of the options {dict(options)}. "
            "Expected a letter, or the text of exactly one option."
        )
    return letters[0]
