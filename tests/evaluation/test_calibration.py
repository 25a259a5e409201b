"""Calibration error against torchmetrics, the risk-coverage curve against every order of ties, and what validation reports."""

import doctest
import itertools

import numpy as np
import pytest
from makers import prompts, rollout, tiny

from medrl.evaluation import calibration
from medrl.evaluation.calibration import calibration_error, calibration_metrics, risk_coverage
from medrl.evaluation.validate import summarise
from medrl.recipe import Reward
from medrl.scoring.loaded import load_rewards
from medrl.scoring.rewards import score_rollouts


def test_doctests():
    found = doctest.testmod(calibration)
    assert found.attempted and not found.failed


CONFIDENCES = [
    0.8019, 0.8048, 0.518, 0.2931, 0.0659, 0.3887, 0.4133, 0.0574, 0.0608, 0.9922, 0.6523, 0.2428, 0.4392, 0.9677, 0.8927,
    0.8403, 0.3976, 0.4962, 0.6762, 0.0726, 0.5575, 0.279, 0.8751, 0.0759, 0.6786, 0.8657, 0.2358, 0.8905, 0.8678, 0.0311,
    0.7063, 0.0142, 0.5063, 0.4409, 0.2122, 0.3314, 0.8031, 0.3231, 0.1591, 0.6975,
]  # fmt: skip
RIGHT = [int(one) for one in "1010000011100110010000101101101000000001"]


@pytest.mark.parametrize(("bins", "expected"), [(10, 0.178185), (15, 0.23328)])
def test_calibration_error_is_torchmetrics(bins, expected):
    # binary_calibration_error(confidences, right, n_bins=bins, norm="l1") of torchmetrics 1.9.0
    assert calibration_error(CONFIDENCES, RIGHT, bins) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("confidences", "right", "expected"),
    [
        ([1.0], [1], 0.0),
        ([0.0], [1], 1.0),
        ([1.0, 1.0], [1, 0], 0.5),
        ([0.1, 0.05], [0, 0], 0.075),  # 0.1 is the upper edge of the first bin
        ([0.1, 0.15], [0, 1], 0.475),  # and not in the second
    ],
)
def test_calibration_error_by_hand(confidences, right, expected):
    assert calibration_error(confidences, right) == pytest.approx(expected)


def test_a_calibrated_forecaster_has_no_error_and_an_overconfident_one_has():
    rng = np.random.default_rng(0)
    chance = rng.random(20_000)
    right = (rng.random(20_000) < chance).astype(float)
    assert (
        calibration_error(chance, right)
        < 0.015
        < 0.3
        < calibration_error((chance > 0.5).astype(float), right, 10) + 0.1
    )


def test_risk_is_the_mean_over_every_order_of_equally_sure_answers():
    confidences, right = [0.9, 0.5, 0.5, 0.5, 0.2, 0.2], [1, 0, 1, 1, 0, 1]
    curves = []
    for order in itertools.permutations(range(6)):
        if all(confidences[first] >= confidences[second] for first, second in itertools.pairwise(order)):
            wrong = np.cumsum([1 - right[place] for place in order])
            curves.append(wrong / np.arange(1, 7))
    coverage, risk = risk_coverage(confidences, right)
    assert (
        len(curves) == 12
        and risk == pytest.approx(np.mean(curves, 0))
        and coverage == pytest.approx(np.arange(1, 7) / 6)
    )


def test_knowing_what_one_knows_lowers_the_curve_to_the_same_end():
    right = [1, 1, 0, 0]
    knowing, guessing, mistaken = (
        risk_coverage(stated, right)[1] for stated in ([0.9, 0.8, 0.2, 0.1], [0.5] * 4, [0.1, 0.2, 0.8, 0.9])
    )
    assert knowing[-1] == guessing[-1] == mistaken[-1] == 0.5
    assert np.mean(knowing) < np.mean(guessing) < np.mean(mistaken)


@pytest.mark.parametrize(("confidences", "right"), [([], []), ([0.5], [1, 0]), ([1.5], [1]), ([float("nan")], [1])])
def test_what_is_no_confidence_is_an_error(confidences, right):
    with pytest.raises(ValueError, match="expected one from 0 to 1 for each"):
        calibration_error(confidences, right)


def test_validation_reports_it_for_a_reward_that_reads_confidence():
    prompt = prompts(tiny(), 1)[0]
    truth = prompt.ground_truth
    rollouts = []
    for said in (f'{{"answer": {truth}, "confidence": 0.9}}', '{"answer": 99, "confidence": 0.9}', truth, "none"):
        rollouts.append(rollout(prompt, [1, 2]))
        rollouts[-1].text = f"<answer>{said}</answer>"
    rewards = load_rewards({"sure": Reward("rewards/confidence.py", kwargs={"answer": "rewards/count.py"})})
    score_rollouts(rollouts, rewards)
    found = {
        "calibration/sure/stated": 0.5,
        "calibration/sure/error": pytest.approx(0.4),
        "calibration/sure/risk_area": 0.5,
    }
    assert calibration_metrics(rollouts) == found
    metrics = summarise(rollouts, rollouts[:1], 4, rewards)["metrics"]
    assert {name: value for name, value in metrics.items() if name.startswith("calibration/")} == found
    for one in rollouts:
        one.scores = {"answer/score": 1.0}
    assert calibration_metrics(rollouts) == {}
