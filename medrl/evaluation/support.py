"""What a model's measured support says about each sample: teach it by demonstration, train on it by RL, or leave it out.

RL learns from attempts that differ, so a question always answered wrong, or always right, has nothing to give. A band is
what was measured in k attempts, not what is true for ever: the plan says how far the rate can be from it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from medrl.evaluation.intervals import wilson_interval
from medrl.evaluation.pass_at_k import mean_pass_at_k

# band: (rule, what follows from it)
BANDS = {
    "sft": ("never right", "every attempt fails, so RL has no signal: give demonstrations, or ask it later again"),
    "rl": ("sometimes right", "attempts differ, so RL has a signal"),
    "drop": ("always right", "nothing is left to learn: leave it out"),
    "unmeasured": ("no attempt had a score", "mend the reward and measure again"),
}


def band_of(row: Mapping[str, Any]) -> str:
    """The band of one sample, by its `attempts`, `missing` and `right`.

    >>> [band_of({"attempts": 16, "missing": 0, "right": right}) for right in (0, 1, 15, 16)]
    ['sft', 'rl', 'rl', 'drop']
    """
    graded = row["attempts"] - row["missing"]
    if not graded:
        return "unmeasured"
    return "sft" if not row["right"] else "drop" if row["right"] == graded else "rl"


def support_plan(
    rows: Sequence[Mapping[str, Any]], slices: Mapping[str, str], attempts: int, file: str
) -> dict[str, Any]:
    """Bands with counts, rules, reasons and sample ids; pass@k; both by slice too; and the recipe keys that train on `rl`.

    `rows`: of the file `file`; `slices`: sample id to the slice it is reported in.
    """
    by_band: dict[str, list[str]] = {band: [] for band in BANDS}
    for row in rows:
        by_band[band_of(row)].append(row["sample_id"])
    names = list(dict.fromkeys(slices[row["sample_id"]] for row in rows))
    _, never = wilson_interval(0, attempts)
    return {
        "samples": len(rows),
        "attempts": attempts,
        "bands": {
            band: {
                "count": len(found), "share": len(found) / len(rows), "rule": BANDS[band][0], "reason": BANDS[band][1],
                "sample_ids": found,
            }
            for band, found in by_band.items() if found or band != "unmeasured"
        },
        "pass_at_k": mean_pass_at_k(_counts(rows)),
        "by_slice": {name: _slice([row for row in rows if slices[row["sample_id"]] == name]) for name in names},
        "notes": [
            f"0 right of {attempts} does not mean never: the 95 % Wilson interval reaches from 0 to {never:.3f}. Likewise "
            f"{attempts} of {attempts} right leaves room down to {1 - never:.3f}."
        ],
        "train_on_rl": [
            f"curriculum.pass_rates={file}",
            f"curriculum.min_pass_rate={1 / attempts!r}",
            f"curriculum.max_pass_rate={(attempts - 1) / attempts!r}",
        ],
    }  # fmt: skip


def _slice(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts = {band: sum(band_of(row) == band for row in rows) for band in BANDS}
    return {"samples": len(rows), **counts, "pass_at_k": mean_pass_at_k(_counts(rows))}


def _counts(rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """(graded attempts, right ones) of every sample that has any."""
    return [(graded, row["right"]) for row in rows if (graded := row["attempts"] - row["missing"])]
