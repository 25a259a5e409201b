"""Score measured lengths, sizes or angles by their relative error; the order of two axes and the unit have a rule each."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from medrl.dialogue.answer_measurements import UNITS, read_measurements
from medrl.scoring.parts.truth import numbers

EXAMPLE = {
    "ground_truth": [34.5, 20.0],
    "extra_info": {"kind": "measurement", "unit": "mm"},
    "right": "<think>The longest diameter first.</think><answer>34.5 x 20.0 mm</answer>",
    "wrong": "<think>The longest diameter first.</think><answer>30.0 x 26.0 mm</answer>",
}

ORDERS = ("sorted", "as_given")


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Sequence[float] | float | str,
    extra_info: Mapping[str, Any] | None = None,
    tau: float = 0.5,
    order: str = "sorted",
    unit_required: bool = False,
) -> dict[str, float]:
    """Mean over the components of max(0, 1 - relative error / `tau`), in [0, 1].

    `ground_truth`: one number or several, none of them 0, or its JSON. `extra_info["unit"]`: their unit, mm, degree, px or
    another of medrl/dialogue/answer_measurements.py. order="sorted" compares the longest with the longest, so that major and
    minor axis may be named in either order; "as_given" compares place by place. A number without a unit is in the row's,
    unless `unit_required`: then it is no answer. cm counts as 10 mm; a unit of another dimension (px for mm) is answered and
    wrong. More or fewer numbers than asked for, ranges and bounds are no answer.
    Source of the error: MRE of MedVision, https://arxiv.org/abs/2511.18676, which has no reward for it.
    Raises ValueError when the row has no such numbers or unit, or for another `tau` or `order`.

    >>> compute_score("tumour", "<answer>3.6 cm x 20 mm</answer>", [20, 40], {"unit": "mm"})
    {'score': 0.9, 'answered': 1.0, 'unit_ok': 1.0}
    >>> compute_score("angle", "<answer>35-40 degrees</answer>", "35", {"unit": "degree"})
    {'score': 0.0, 'answered': 0.0, 'unit_ok': 0.0}
    """
    if order not in ORDERS or not 0 < tau < math.inf:
        raise ValueError(f"order={order!r}, tau={tau!r}; expected one of {', '.join(ORDERS)} and a number above 0.")
    right, (dimension, factor) = _right(ground_truth), _unit_of(extra_info)
    named = read_measurements(solution_str, len(right))
    if named is None or (unit_required and any(quantity.unit is None for quantity in named)):
        return {"score": 0.0, "answered": 0.0, "unit_ok": 0.0}
    units = [UNITS[quantity.unit] if quantity.unit else (dimension, factor) for quantity in named]
    if any(measures != dimension for measures, _ in units):
        return {"score": 0.0, "answered": 1.0, "unit_ok": 0.0}
    values = [quantity.value * own / factor for quantity, (_, own) in zip(named, units)]
    if order == "sorted":
        values, right = sorted(values), sorted(right)
    errors = [abs(value - true) / abs(true) for value, true in zip(values, right)]
    score = sum(max(0.0, 1 - error / tau) for error in errors) / len(errors)
    return {"score": score, "answered": 1.0, "unit_ok": 1.0}


def _right(ground_truth: object) -> list[float]:
    right = numbers(ground_truth) or numbers(f"[{ground_truth}]")  # "34.5" and 34.5 are one number
    if not right or not all(math.isfinite(one) and one != 0 for one in right):
        raise ValueError(
            f"ground_truth is {str(ground_truth)[:80]!r}; expected a number, or a list of numbers or its JSON, finite and "
            "not 0: a relative error is measured."
        )
    return list(right)


def _unit_of(extra_info: Mapping[str, Any] | None) -> tuple[str, float]:
    unit = (extra_info or {}).get("unit")
    if not isinstance(unit, str) or unit not in UNITS:
        raise ValueError(
            f'extra_info["unit"] is {unit!r}; expected the unit of the ground truth, one of {", ".join(UNITS)}.'
        )
    return UNITS[unit]
