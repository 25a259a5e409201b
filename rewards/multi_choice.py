"""Score a "select all that apply" answer as a set of letters: exact, or F1 of the set; order and repeats do not matter."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from medrl.dialogue.answers import plain_option, read_multi_choice

MODES = ("set", "f1")
EXAMPLE = {
    "ground_truth": ["A", "C"],
    "extra_info": {"kind": "multi_choice", "options": {"A": "Drusen", "B": "Exudate", "C": "Haemorrhage", "D": "Scar"}},
    "right": "<think>Yellow dots, red blots.</think><answer>A, C</answer>",
    "wrong": "<think>Yellow dots, red blots.</think><answer>B, D</answer>",
}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Iterable[str] | str,
    extra_info: Mapping[str, Any] | None = None,
    mode: str = "set",
) -> dict[str, float]:
    """1.0 when the reply stands by exactly the right set of options; with `mode="f1"` 2|right and chosen|/(|right|+|chosen|).

    `ground_truth`: letters or option texts as a list, its JSON, or text such as "A,C" or "AC". `extra_info["options"]`:
    letter to text, or that as JSON. A superset scores less than the exact set in either mode, and naming all options is
    no way to a high F1 unless most are right. F1 of the set as in QoQ-Med (arXiv 2506.00711). Raises ValueError when
    the row does not say which options are right.

    >>> row = {"options": {"A": "Drusen", "B": "Exudate", "C": "Haemorrhage"}}
    >>> compute_score("ophtha", "<answer>C and A</answer>", "A,C", row)
    {'score': 1.0, 'answered': 1.0}
    >>> compute_score("ophtha", "<answer>A, B, C</answer>", ["A", "C"], row, mode="f1")
    {'score': 0.8, 'answered': 1.0}
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; expected one of {', '.join(MODES)}.")
    options = _options((extra_info or {}).get("options"))
    right = _right_letters(ground_truth, options)
    chosen = read_multi_choice(solution_str, options)
    if chosen is None:
        return {"score": 0.0, "answered": 0.0}
    f1 = 2 * len(right & chosen) / (len(right) + len(chosen))
    return {"score": f1 if mode == "f1" else float(chosen == right), "answered": 1.0}


def _options(given: Any) -> dict[str, str]:
    try:
        options = json.loads(given) if isinstance(given, str) else given
        present = {str(letter): str(text) for letter, text in options.items() if text is not None}
    except (AttributeError, json.JSONDecodeError):  # no mapping, or no JSON of one
        present = {}
    if not present:
        raise ValueError(
            f'extra_info["options"] is {str(given)[:80]!r}; expected letters and their texts, {{"A": "MRI", "B": "CT"}}, '
            "as a dict or its JSON. Add the options to the row."
        )
    return present


def _right_letters(ground_truth: Any, options: Mapping[str, str]) -> set[str]:
    letters = {letter.upper(): letter for letter in options}
    texts = [plain_option(text) for text in options.values()]
    letter_of_text = {text: letter for text, letter in zip(texts, options) if texts.count(text) == 1}
    wanted = [str(item).strip() for item in _items(ground_truth)]
    right = {letters.get(item.upper()) or letter_of_text.get(plain_option(item)) for item in wanted}
    if not right or None in right:
        raise ValueError(
            f"ground_truth is {ground_truth!r}; expected one or more of the options {dict(options)}, as a list of letters "
            'or texts, or as "A,C". Correct the row.'
        )
    return {letter for letter in right if letter is not None}


def _items(ground_truth: Any) -> list[Any]:
    if isinstance(ground_truth, str):
        text = ground_truth.strip()
        if text.startswith("["):
            try:
                return list(json.loads(text))
            except json.JSONDecodeError:
                return []
        if text.isalpha() and text.isupper():
            return list(text)  # "ACE", or one letter
        return [item for item in text.replace(";", ",").split(",") if item.strip()]
    try:
        return list(ground_truth)
    except TypeError:
        return []
