"""Simulated items land in the band that their measured support says, and the plan tells counts, reasons and limits."""

import numpy as np
import pytest
from scipy.stats import binomtest

from medrl.evaluation.support import band_of, support_plan

ATTEMPTS = 16


def row(number, right, missing=0):
    return {"sample_id": f"s/{number}", "attempts": ATTEMPTS, "missing": missing, "right": right}


def test_simulated_items_land_in_their_band():
    chance = np.random.default_rng(0)
    true = [0.0] * 40 + [1.0] * 30 + chance.uniform(0.3, 0.7, 50).tolist()  # 0.7^16 < 0.004: none by luck at the ends
    rows = [row(number, int(chance.binomial(ATTEMPTS, rate))) for number, rate in enumerate(true)]
    plan = support_plan(rows, {one["sample_id"]: "choice" for one in rows}, ATTEMPTS, "rates.jsonl")
    bands = plan["bands"]
    assert bands["sft"]["sample_ids"] == [f"s/{number}" for number in range(40)]
    assert bands["drop"]["sample_ids"] == [f"s/{number}" for number in range(40, 70)]
    assert bands["rl"]["sample_ids"] == [f"s/{number}" for number in range(70, 120)]
    assert [bands[band]["count"] for band in ("sft", "rl", "drop")] == [40, 50, 30] and "unmeasured" not in bands
    assert "demonstrations" in bands["sft"]["reason"] and sum(band["share"] for band in bands.values()) == 1
    measured = sum(one["right"] for one in rows) / ATTEMPTS / len(rows)
    assert plan["pass_at_k"][1]["value"] == pytest.approx(measured)
    assert plan["pass_at_k"][16]["value"] == pytest.approx(80 / 120)  # at k = n, whatever was right once


@pytest.mark.parametrize(
    ("right", "missing", "band"),
    [
        (0, 0, "sft"),
        (1, 0, "rl"),
        (15, 0, "rl"),
        (16, 0, "drop"),
        (12, 4, "drop"),
        (0, 4, "sft"),
        (0, 16, "unmeasured"),
    ],
)
def test_attempts_without_a_score_count_for_nothing(right, missing, band):
    assert band_of(row(0, right, missing)) == band


def test_never_seen_is_not_never():
    plan = support_plan([row(0, 0), row(1, 16)], {"s/0": "a", "s/1": "b"}, ATTEMPTS, "x")
    high = binomtest(0, ATTEMPTS).proportion_ci(method="wilson").high
    assert f"from 0 to {high:.3f}" in plan["notes"][0] and f"down to {1 - high:.3f}" in plan["notes"][0]
    assert plan["by_slice"]["a"]["sft"] == plan["by_slice"]["b"]["drop"] == 1
    assert plan["by_slice"]["a"]["pass_at_k"][1]["value"] == 0


@pytest.mark.parametrize("attempts", [2, 3, 7, 10, 16, 49])
def test_the_keys_it_prints_select_the_band_exactly(attempts):
    rows = [{"sample_id": str(n), "attempts": attempts, "missing": 0, "right": n} for n in range(attempts + 1)]
    plan = support_plan(rows, {one["sample_id"]: "a" for one in rows}, attempts, "x")
    _, low, high = (float(text.split("=")[1]) if "rate=" in text else text for text in plan["train_on_rl"])
    inside = [str(n) for n in range(attempts + 1) if low <= n / attempts <= high]
    assert inside == plan["bands"]["rl"]["sample_ids"]
