"""Paired differences: hand-worked numbers, agreement with scipy, and that a 95 % interval covers the truth 95 times in 100."""

import numpy as np
import pytest
from scipy import stats

from medrl.errors import MedrlError
from medrl.evaluation import paired
from medrl.evaluation.paired import (
    Difference,
    difference_of_means,
    difference_over_seeds,
    hierarchical_difference,
    holm,
    paired_difference,
    scored_by_all,
    seed_interval,
)


def answers(values):
    return {f"q{place}": float(value) for place, value in enumerate(values)}


def crossed(rng, seeds, questions, seed_spread, question_spread=0.3):
    """Two settings that do not differ: answers by seed, whose differences have a seed's, a question's and a residual part."""
    parts = rng.normal(0, seed_spread, (seeds, 1)) + rng.normal(0, question_spread, (1, questions))
    table = parts + rng.choice([-1, 0, 0, 1], (seeds, questions))
    zeros = {seed: answers(np.zeros(questions)) for seed in range(seeds)}
    return {seed: answers(table[seed]) for seed in range(seeds)}, zeros


def covers(count, of, level=0.95):
    """Whether `count` covered of `of` is what a 95 % interval gives: a right one fails once in a thousand, the draws are fixed."""
    return stats.binomtest(count, of, level).pvalue > 0.001


def test_identical_runs_differ_by_exactly_nothing():
    run = answers(np.random.default_rng(0).random(50))
    assert paired_difference(run, dict(reversed(run.items()))) == Difference(0.0, 0.0, 0.0, 1.0, 50)
    seeds = dict.fromkeys(range(3), run)
    assert difference_over_seeds(seeds, seeds) == Difference(0.0, 0.0, 0.0, 1.0, 50, 3)
    assert difference_of_means({0: 0.5, 1: 0.6}, {0: 0.5, 1: 0.6}) == Difference(0.0, 0.0, 0.0, 1.0, 0, 2)
    assert hierarchical_difference(seeds, seeds) == (0.0, 0.0)


def test_interval_is_scipys_paired_percentile_bootstrap():
    rng = np.random.default_rng(1)
    base = rng.random(80)
    other = base + rng.normal(0.05, 0.2, 80)
    theirs = stats.bootstrap(
        (other, base), lambda a, b, axis: (a - b).mean(axis), paired=True, vectorized=True, method="percentile",
        n_resamples=10_000, rng=np.random.default_rng(2),
    )  # fmt: skip
    found = paired_difference(answers(other), answers(base))
    assert found.mean == pytest.approx((other - base).mean())
    # a quantile near 2.5 % of 10,000 draws is known to about 0.05 standard errors
    assert [found.low, found.high] == pytest.approx(theirs.confidence_interval, abs=0.1 * theirs.standard_error)
    assert found.p == pytest.approx(2 * (theirs.bootstrap_distribution <= 0).mean(), abs=0.01)


def test_p_counts_the_observed_mean_and_both_sides():
    """No draw of equal differences lies below 0; of 2 and -1 one draw in four does."""
    zeros = answers([0, 0])
    assert paired_difference(answers([1, 1]), zeros).p == paired_difference(answers([-1, -1]), zeros).p == 2 / 10_001
    assert paired_difference(answers([2, -1]), zeros).p == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.05, 0.08])
def test_p_is_below_five_percent_where_the_interval_excludes_zero(shift):
    rng = np.random.default_rng(3)
    found = paired_difference(answers(rng.normal(shift, 0.2, 60)), answers(np.zeros(60)))
    assert (found.p < 0.05) == (not found.low <= 0 <= found.high)


def test_one_seeds_interval_covers_95_in_100():
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(300):
        found = paired_difference(answers(rng.choice([-1.0, 0, 0, 1], 100)), answers(np.zeros(100)), resamples=600)
        hits += found.low <= 0 <= found.high
    assert covers(hits, 300), hits


@pytest.mark.parametrize(
    ("seeds", "seed_spread"),
    [(3, 0.3), pytest.param(5, 0.2, marks=pytest.mark.cluster), pytest.param(8, 0.1, marks=pytest.mark.cluster)],
)
def test_interval_over_seeds_covers_95_in_100_and_p_is_its_mirror(seeds, seed_spread):
    rng = np.random.default_rng(5)
    hits, small = 0, 0
    for _ in range(400):
        found = difference_over_seeds(*crossed(rng, seeds, 60, seed_spread))
        hits += found.low <= 0 <= found.high
        small += found.p < 0.05
    assert covers(hits, 400), hits
    assert small == 400 - hits


@pytest.mark.cluster  # seconds, like the two marked above
def test_interval_over_seeds_is_never_too_narrow_where_seeds_do_not_differ():
    """Then no variance can be given back to the seeds' part, so it covers more, not less."""
    rng = np.random.default_rng(6)
    hits = sum(
        found.low <= 0 <= found.high for found in (difference_over_seeds(*crossed(rng, 3, 60, 0.0)) for _ in range(300))
    )
    assert stats.binomtest(hits, 300, 0.95, alternative="less").pvalue > 0.001


@pytest.mark.cluster
def test_why_no_p_comes_of_the_hierarchical_bootstrap():
    """With three seeds that differ it covers far less than it says; the two-way interval above does not."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(200):
        low, high = hierarchical_difference(*crossed(rng, 3, 60, 0.3), resamples=500)
        hits += low <= 0 <= high
    assert hits / 200 < 0.9


def test_two_way_layout_worked_by_hand():
    """d = [[1, 3], [2, 6]]: mean 3, seeds 2 and 4, questions 1.5 and 4.5; MS 4, 9 and 1, so variance 12 / 4 and
    df = 144 / (16 + 81 + 1)."""
    one = {0: answers([1, 3]), 1: answers([2, 6])}
    found = difference_over_seeds(one, {seed: answers([0, 0]) for seed in (0, 1)})
    half = stats.t.ppf(0.975, 144 / 98) * 3**0.5
    assert (found.mean, found.n, found.seeds) == (3.0, 2, 2)
    assert [found.low, found.high] == pytest.approx([3 - half, 3 + half])
    assert found.p == pytest.approx(2 * stats.t.sf(3 / 3**0.5, 144 / 98))


def test_means_alone_are_compared_by_students_paired_t():
    one, other = {0: 0.5, 1: 0.7, 2: 0.6}, {0: 0.4, 1: 0.65, 2: 0.45, 9: 0.1}
    theirs = stats.ttest_rel([0.5, 0.7, 0.6], [0.4, 0.65, 0.45])
    found = difference_of_means(one, other)
    assert (found.mean, found.p) == pytest.approx((0.1, theirs.pvalue))
    assert [found.low, found.high] == pytest.approx(theirs.confidence_interval())
    assert difference_of_means({0: 0.5, 1: 0.6}, {0: 0.5}) is None


def test_only_common_seeds_are_compared_and_one_alone_by_bootstrap():
    one = {0: answers([0, 1, 1]), 1: answers([1, 1, 1])}
    base = {1: answers([0, 0, 1]), 2: answers([9, 9, 9])}
    assert difference_over_seeds(one, base) == paired_difference(one[1], base[1])
    with pytest.raises(MedrlError, match=r"no seed in common: \[0\] and \[2\]"):
        difference_over_seeds({0: one[0]}, {2: base[2]})


def test_other_questions_are_an_error_that_counts_them():
    with pytest.raises(MedrlError, match="3 and 4 questions, 3 in common"):
        paired_difference(answers([1, 2, 3]), answers([1, 2, 3, 4]))
    with pytest.raises(MedrlError, match="1 question tells nothing"):
        paired_difference(answers([1]), answers([2]))
    with pytest.raises(MedrlError, match="2 and 3 questions"):
        difference_over_seeds({0: answers([1, 2]), 1: answers([1, 2])}, {0: answers([1, 2]), 1: answers([1, 2, 3])})


def test_t_interval_of_seeds_is_scipys_and_needs_two():
    values = [0.4, 0.55, 0.6, 0.48]
    theirs = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert seed_interval(values) == pytest.approx(theirs)
    with pytest.raises(ValueError, match="1 value"):
        seed_interval([0.5])


@pytest.mark.parametrize(
    ("given", "adjusted"),
    [
        ([], []),
        ([0.2], [0.2]),
        ([0.01, 0.02, 0.03], [0.03, 0.04, 0.04]),  # 3 * 0.01, 2 * 0.02, and not below what came before
        ([0.5, 0.01, 0.4], [0.8, 0.03, 0.8]),
        ([0.9, 0.8], [1.0, 1.0]),
    ],
)
def test_holm_by_hand(given, adjusted):
    assert holm(given) == pytest.approx(adjusted)


def test_draws_in_parts_are_the_same_draws(monkeypatch):
    from medrl.evaluation import intervals

    values = np.random.default_rng(8).random(40)
    whole = intervals.bootstrap_means(values, 500)
    monkeypatch.setattr(intervals, "AT_ONCE", 40 * 7)
    assert (intervals.bootstrap_means(values, 500) == whole).all()
    assert paired.RESAMPLES >= 10_000


def test_only_questions_with_a_value_in_all_runs_are_compared_and_the_others_counted():
    asked = [["a", "b", "c"]] * 2
    found = scored_by_all([{"a": 0.1, "b": 0.2, "c": 0.3}, {"a": 1.0, "c": 3.0}], asked)
    assert found == ([{"a": 0.1, "c": 0.3}, {"a": 1.0, "c": 3.0}], 1)
    with pytest.raises(MedrlError, match="1 of 3 questions have a value in all 2 runs"):
        scored_by_all([{"a": 0.1, "b": 0.2}, {"a": 1.0, "c": 3.0}], asked)
    with pytest.raises(MedrlError, match="3 and 2 questions, 2 in common"):
        scored_by_all([{"a": 0.1, "b": 0.2}, {"a": 1.0, "b": 3.0}], [["a", "b", "c"], ["a", "b"]])
