"""Held-out numbers: honest denominators, intervals that agree with scipy's, and what a constant answer earns."""

import numpy as np
import pytest
from makers import builder, prompts, tiny
from scipy.stats import bootstrap

from medrl.evaluation.intervals import bootstrap_interval
from medrl.evaluation.validate import best_constant, validate
from medrl.learning.generate import LocalEngine
from medrl.recipe import Reward
from medrl.rollout.types import Sampling
from medrl.scoring.loaded import load_rewards


@pytest.fixture(scope="module")
def loaded():
    return tiny()


def rewards(tmp_path, body):
    path = tmp_path / "reward.py"
    path.write_text(f"def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n    {body}\n")
    return load_rewards({"answer": Reward(str(path))})


def test_interval_agrees_with_scipy():
    values = np.random.default_rng(1).uniform(0, 1, 300)
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=2).confidence_interval
    ours = bootstrap_interval(values.tolist(), resamples=4000)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_interval_covers_the_true_mean_about_95_times_in_100():
    chance = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        low, high = bootstrap_interval((chance.uniform(0, 1, 80) < 0.3).astype(float).tolist(), resamples=400)
        hits += low <= 0.3 <= high
    assert 180 <= hits <= 199


def test_missing_scores_stay_in_the_denominator(loaded, tmp_path):
    six = prompts(loaded, 6)
    body = "if extra_info['id'].endswith(('0', '1')): raise ValueError('broken')\n    return {'score': 1.0, 'answered': 0.0}"
    summary, rollouts = validate(
        LocalEngine(loaded.policy), builder(loaded), rewards(tmp_path, body), six, 2, Sampling(1.0, 3)
    )
    assert (summary["n"], len(rollouts)) == (6, 12)
    assert summary["reward"] == pytest.approx(4 / 6) and summary["metrics"]["missing"] == pytest.approx(2 / 6)
    assert summary["metrics"]["greedy_reward"] == pytest.approx(4 / 6) and summary["parse_rate"] == 0
    assert summary["low"] < summary["reward"] < summary["high"]


def test_attempts_of_one_question_count_as_one_observation(loaded, tmp_path):
    # eight copies of one opinion are not eight opinions: the interval must not shrink with attempts
    body = "return float(extra_info['id'].endswith(('0', '1')))"
    making = (LocalEngine(loaded.policy), builder(loaded), rewards(tmp_path, body), prompts(loaded, 4))
    one, _ = validate(*making, 1, Sampling(1.0, 2))
    many, _ = validate(*making, 8, Sampling(1.0, 2))
    assert (one["low"], one["high"], one["n"]) == (many["low"], many["high"], many["n"])


def test_best_constant_is_the_commonest_answer(loaded, tmp_path):
    body = "return float(f'<answer>{ground_truth}</answer>' in solution_str)"
    twenty = prompts(loaded, 20)
    best = best_constant(twenty, builder(loaded), rewards(tmp_path, body))
    answers = [prompt.ground_truth for prompt in twenty]
    assert best["reward"] == max(answers.count(answer) for answer in set(answers)) / 20
