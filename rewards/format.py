"""Score the form of a reply alone: its parts in the order the prompt asks for, each once, nothing else around them."""

from collections.abc import Mapping, Sequence
from typing import Any

from medrl.dialogue.answer_form import form_parts, medr1_form_ok
from medrl.dialogue.answers import answer_regions

EXAMPLE = {
    "ground_truth": "B",
    "extra_info": {"kind": "choice", "options": {"A": "MRI", "B": "CT"}},
    "right": "<think>The bone is dense.</think><answer>B</answer>",
    "wrong": "<think>The bone is dense.</think><answer>A</answer>",  # a wrong answer can be well-formed
}
MODES = ("additive", "graded")


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: object,
    extra_info: Mapping[str, Any] | None = None,
    style: str = "think",
    mode: str = "additive",
    exact: str | None = None,
    keys: Sequence[str] = (),
) -> dict[str, float]:
    r"""1.0 when the reply has exactly the form of `style`, else 0.0; `graded`: the share of the form's parts that are there.

    | style      | the reply is                                                               | parts                            |
    |------------|----------------------------------------------------------------------------|----------------------------------|
    | `think`    | `<think>T</think>`, blanks, `<answer>A</answer>`                           | thought, answer, order, alone    |
    | `no_think` | `<answer>A</answer>`                                                       | answer, no_thought, alone        |
    | `json`     | one JSON value, or that in one code fence; `keys` are in each of its objects | json, keys, alone              |
    | `boxed`    | text, or a thought and text, that ends in the only `\boxed{A}`             | answer, outside, last            |

    Blanks around the reply are no fault. `exact: medr1` takes what Med-R1's released code takes (think and no_think): blank
    and repeated parts, and no line break at the end. `answered` is 1.0 when there is any text where an answer belongs.
    Keep the weight small: form is learned within a few steps and pays without a right answer; or make it the `gate` of
    the answer in the recipe, as MedVLThinker does (arXiv 2508.02669). Graded after QoQ-Med (arXiv 2506.00711).

    >>> compute_score("vqa_rad", "<think>dense</think> <answer>B</answer>", "B")
    {'score': 1.0, 'answered': 1.0}
    >>> compute_score("vqa_rad", "<answer>B</answer>", "B")["score"]
    0.0
    >>> compute_score("vqa_rad", "<think>dense</think> So: <answer>B</answer>", "B", mode="graded")["score"]
    0.75
    """
    if mode not in MODES or exact not in (None, "medr1") or (exact and mode == "graded"):
        raise ValueError(
            f"mode={mode!r}, exact={exact!r}; expected additive or graded, and exact: medr1 only with additive."
        )
    if exact:
        score = float(medr1_form_ok(solution_str, style))
    else:
        parts = form_parts(solution_str, style, keys).values()
        score = sum(parts) / len(parts) if mode == "graded" else float(all(part == 1.0 for part in parts))
    answered = any(region.strip() for region in answer_regions(solution_str) or ())
    return {"score": score, "answered": float(answered)}
