"""Score a multiple-choice answer: the letter of the right option, its text, or both; never a guess.

`mode="medr1_exact"` is the verdict of Med-R1's released accuracy reward (src/r1-v, the string comparison), for runs that
must be compared with theirs. It calls "b" and "B) CT" wrong, and a bare "B" without a tag right. What that reward tries
first, math_verify on the whole reply, is left out: on letters it decides by how LaTeX is parsed, not by the answer.
"""

import json
from collections.abc import Mapping
from typing import Any

from medrl.dialogue.answers import plain_option, read_choice

MODES = ("spec", "medr1_exact")
EXAMPLE = {  # a row with a right and an honest wrong reply: what `medrl reward check` and `attack` try this file on
    "ground_truth": "B",
    "extra_info": {"kind": "choice", "options": {"A": "MRI", "B": "CT", "C": "X-ray", "D": "Ultrasound"}},
    "right": "<think>The bone is dense.</think><answer>B</answer>",
    "wrong": "<think>The bone is dense.</think><answer>C</answer>",
}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    mode: str = "spec",
) -> dict[str, float]:
    """1.0 when the reply stands by exactly one option and it is the right one, else 0.0.

    `extra_info["options"]`: letter to text, or that as JSON; letters whose text is None do not exist. `ground_truth`: a
    letter, or the text of one option. Raises ValueError when the row does not say which option is right.

    >>> options = {"options": {"A": "MRI", "B": "CT", "C": None}}
    >>> compute_score("omnimed", "<think>dense bone</think><answer>B) CT</answer>", "B", options)
    {'score': 1.0, 'answered': 1.0}
    >>> compute_score("omnimed", "<answer>B) CT</answer>", "B", options, mode="medr1_exact")["score"]
    0.0
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; expected one of {', '.join(MODES)}.")
    options = _options((extra_info or {}).get("options"))
    right = _right_letter(ground_truth, options)
    if mode == "medr1_exact":
        given = medr1_answer(solution_str)
        return {"score": float(given == right), "answered": float(given != "")}
    chosen = read_choice(solution_str, options)  # None for "A or B"
    return {"score": float(chosen == right), "answered": float(chosen is not None)}


def medr1_answer(reply: str) -> str:
    """What Med-R1 compares with the letter: the text of the first answer tag that closes on its line, else the reply.

    As `re.search(r"<answer>(.*?)</answer>", reply)` finds it, line by line, since that pattern needs quadratic time.

    >>> medr1_answer("<answer> B </answer><answer>C</answer>"), medr1_answer("<answer>\\nB</answer>")
    ('B', '<answer>\\nB</answer>')
    """
    for line in reply.split("\n"):  # `.` matches every other line break
        _, opened, rest = line.partition("<answer>")
        answer, closed, _ = rest.partition("</answer>")
        if opened and closed:
            return answer.strip()
    return reply.strip()


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
