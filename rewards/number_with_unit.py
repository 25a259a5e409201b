"""Score a measurement such as "64 mm": right when it converts to the right value within a tolerance."""

import json
import math
from collections.abc import Mapping
from typing import Any

from medrl.dialogue.answer_units import UNITS, in_base_units
from medrl.dialogue.answers import Quantity, read_number_with_unit, unit_named

EXAMPLE = {
    "ground_truth": {"value": 6.4, "unit": "cm", "rel_tol": 0.05},
    "extra_info": {"kind": "number_with_unit"},
    "right": "<think>Along the curve.</think><answer>64 mm</answer>",
    "wrong": "<think>Along the curve.</think><answer>52 mm</answer>",
}
SLACK = 1e-9  # for what conversion rounds, relative to the right value

for _unit in UNITS.values():  # sympy is loaded now, not while the first reply waits for its score
    in_base_units(_unit)


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Mapping[str, Any] | str,
    extra_info: Mapping[str, Any] | None = None,
    rel_tol: float = 0.05,
    abs_tol: float = 0.0,
) -> dict[str, float]:
    """1.0 when |stated - right| <= max(rel_tol * |right|, abs_tol), else 0.0; another dimension is wrong.

    `ground_truth`: `{"value", "unit"}`, optionally with its own `rel_tol` and `abs_tol`, as a dict or JSON. `abs_tol`
    is in the unit of the right value. A number without a unit, a range or a bound is unanswered. Raises ValueError for
    a row without a finite value, with an unlisted unit or a negative tolerance.

    >>> right = {"value": 6.4, "unit": "cm"}
    >>> compute_score("ct", "<answer>64 mm</answer>", right), compute_score("ct", "<answer>64</answer>", right)
    ({'score': 1.0, 'answered': 1.0}, {'score': 0.0, 'answered': 0.0})
    >>> compute_score("ct", "<answer>-30 HU</answer>", '{"value": -40, "unit": "HU"}', abs_tol=10)["score"]
    1.0
    """
    right, relative, absolute = _right(ground_truth, rel_tol, abs_tol)
    stated = read_number_with_unit(solution_str)
    if stated is None or stated.unit.dimension != right.unit.dimension:
        return {"score": 0.0, "answered": float(stated is not None)}
    value = stated.in_base_units() / in_base_units(right.unit)
    allowed = max(relative * abs(right.value), absolute) + SLACK * abs(right.value)
    return {"score": float(abs(value - right.value) <= allowed), "answered": 1.0}


def _right(ground_truth: Any, rel_tol: float, abs_tol: float) -> tuple[Quantity, float, float]:
    """The right quantity, and the tolerances: the row's own before those of the recipe."""
    try:
        found = json.loads(ground_truth) if isinstance(ground_truth, str) else ground_truth
        given = {"rel_tol": rel_tol, "abs_tol": abs_tol}
        given |= {key: found[key] for key in ("value", "rel_tol", "abs_tol") if found.get(key) is not None}
        value, relative, absolute = (float(given[key]) for key in ("value", "rel_tol", "abs_tol"))
        unit = unit_named(str(found["unit"]))
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):  # no mapping, no JSON, no numbers
        unit = None
    if unit is None or not math.isfinite(value) or not (relative >= 0 and absolute >= 0):
        raise ValueError(
            f'ground_truth is {ground_truth!r}; expected {{"value": 6.4, "unit": "cm"}} with a finite value, a listed unit '
            "(mm, HU, %, deg, mL, ...) and tolerances of at least 0, as a dict or its JSON. Correct the row."
        )
    return Quantity(value, unit), relative, absolute
