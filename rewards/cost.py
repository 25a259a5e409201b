"""Score a diagnosis by what a mistake costs: a missed cancer and a false alarm are not the same.

In place of the answer's reward, which can be listed with weight 0 to be logged.
"""

import json
from collections.abc import Mapping
from typing import Any

from medrl.dialogue.answer_mentions import with_json_answers
from medrl.dialogue.answer_region import agreed
from medrl.dialogue.answers import read_choice
from medrl.scoring.parts.cost_matrix import CostMatrix, cost_matrix

EXAMPLE = {
    "ground_truth": "B",
    "extra_info": {"kind": "choice", "options": {"A": "cancer", "B": "benign"}},
    "right": "<think>The margin is smooth.</think><answer>B</answer>",
    "wrong": "<think>The margin is spiculated.</think><answer>A</answer>",  # a false alarm, the cheaper mistake
    "kwargs": {"costs": {"cancer": {"benign": 10}, "benign": {"cancer": 1}}},
}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: object,
    extra_info: Mapping[str, Any] | None = None,
    *,
    costs: Mapping[Any, Any] | str,
    default: float | None = None,
    names: Mapping[Any, Any] | None = None,
) -> dict[str, float]:
    """1 - cost / the greatest cost in the matrix: from 0.0 to 1.0. A reply without one answer scores 0.0.

    `costs`: {right class: {answered class: cost}}, or the path of a YAML file of that; `default`, what other mistakes cost;
    `names`: {class: [what else it is called]}. With `extra_info["options"]` the reply's option is read and its text is the
    class; without, the whole answer must be a class. One divisor for all rows of the matrix keeps the cheapest expected
    answer the best-paid one (Elkan, The foundations of cost-sensitive learning, 2001). Raises ValueError when the ground
    truth or an option is no class, or the matrix is faulty.

    >>> costs = {"cancer": {"benign": 10}, "benign": {"cancer": 1}}
    >>> compute_score("x", "<answer>benign</answer>", "cancer", costs=costs)
    {'score': 0.0, 'answered': 1.0, 'cost': 10.0}
    >>> options = {"options": {"A": "Benign", "B": "Cancer"}}
    >>> compute_score("x", "<answer>B</answer>", "A", options, costs=costs)
    {'score': 0.9, 'answered': 1.0, 'cost': 1.0}
    """
    matrix = cost_matrix(costs, default, names)
    options = _options((extra_info or {}).get("options"))
    classes = {letter: _class(matrix, text, f"option {letter}") for letter, text in options.items()}
    lettered = {letter.upper(): name for letter, name in classes.items()}
    right = lettered.get(str(ground_truth).strip().upper()) or _class(matrix, ground_truth, "ground_truth")
    if options:
        said = classes.get(read_choice(solution_str, options) or "")
    else:
        said = agreed(solution_str, lambda region: matrix.class_of(with_json_answers(region)))
    cost = matrix.worst if said is None else matrix.costs[right][said]
    return {"score": 1 - cost / matrix.worst, "answered": float(said is not None), "cost": cost}


def _class(matrix: CostMatrix, text: object, place: str) -> str:
    found = matrix.class_of(text)
    if found is None:
        raise ValueError(
            f"{place} is {str(text)[:80]!r}, which is no class of the costs: {', '.join(matrix.classes)}. Add it to "
            "`costs`, or to `names` as another name of one."
        )
    return found


def _options(given: Any) -> dict[str, str]:
    try:
        options = json.loads(given) if isinstance(given, str) else given or {}
        return {str(letter): str(text) for letter, text in options.items() if text is not None}
    except (AttributeError, json.JSONDecodeError):
        raise ValueError(
            f'extra_info["options"] is {str(given)[:80]!r}; expected letters and their texts, as a dict or its JSON.'
        ) from None
