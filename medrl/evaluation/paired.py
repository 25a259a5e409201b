"""Differences on the same questions: how much better one run, or one setting over several seeds, did than another.

Two runs: a paired bootstrap over questions. Two settings with seeds in common: seeds and questions are crossed samples, so
both count as chance. Answers to other questions cannot be compared in this way, and that is an error, never a wide interval.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from medrl.errors import MedrlError
from medrl.evaluation.intervals import bootstrap_means, percentile_interval

RESAMPLES = 10_000  # the smallest p a bootstrap can give is 2 / (RESAMPLES + 1), and Holm multiplies it

Answers = Mapping[str, float]  # question to its reward, the mean of its attempts


@dataclass(frozen=True)
class Difference:
    """A mean difference with its 95 % interval and two-sided p, over `n` questions and `seeds` pairs of runs."""

    mean: float
    low: float
    high: float
    p: float
    n: int
    seeds: int = 1


def paired_difference(answers: Answers, baseline: Answers, resamples: int = RESAMPLES) -> Difference:
    """Mean of `answers` minus `baseline` over the same questions: percentile bootstrap of the questions' differences.

    p is twice the smaller share of resampled means on either side of 0 (each share counts the observed mean too, so p is
    never 0), so it is below 0.05 where the interval excludes 0. Source: Efron & Tibshirani, An Introduction to the
    Bootstrap (1993), chapters 13 and 16. Raises MedrlError for other questions, or fewer than two.

    >>> paired_difference({"a": 0.1, "b": 0.7}, {"a": 0.1, "b": 0.7})
    Difference(mean=0.0, low=0.0, high=0.0, p=1.0, n=2, seeds=1)
    """
    names = same_questions([answers, baseline])
    differences = [answers[name] - baseline[name] for name in names]
    means = bootstrap_means(differences, resamples)
    low, high = percentile_interval(means)
    beyond = min(int((means <= 0).sum()), int((means >= 0).sum()))
    p = min(1.0, 2 * (beyond + 1) / (resamples + 1))
    return Difference(math.fsum(differences) / len(differences), low, high, p, len(differences))


def difference_over_seeds(answers: Mapping[int, Answers], baseline: Mapping[int, Answers]) -> Difference:
    """Mean difference of two settings over their common seeds, each pair of runs on the same questions.

    One seed in common: `paired_difference`. Several: every difference d[s, q] has a seed's, a question's and a residual part;
    with the mean squares of that two-way layout the variance of the mean is (MS_seed + MS_question - MS_residual) / (S Q),
    and the interval is Student's with Satterthwaite's degrees of freedom. If seeds differ more than questions explain, these
    are about S - 1 and the interval is wide; if not, they are many. A percentile bootstrap of seeds and questions
    (`hierarchical_difference`) covers only about 85 % instead of 95 % with three seeds that differ, so no p comes of it.
    Source: Satterthwaite, Biometrics Bulletin 2 (1946), 110-114; Brennan, Generalizability Theory (2001), chapter 6.
    Raises MedrlError without a common seed, for other questions, or fewer than two.
    """
    seeds = _common_seeds(answers, baseline)
    if len(seeds) == 1:
        return paired_difference(answers[seeds[0]], baseline[seeds[0]])
    table = _differences(answers, baseline, seeds)  # (seeds, questions)
    count, questions = table.shape
    mean, by_seed, by_question = float(table.mean()), table.mean(1), table.mean(0)
    residual = table - by_seed[:, None] - by_question[None] + mean
    of_seeds = questions * float(by_seed.var(ddof=1))
    of_questions = count * float(by_question.var(ddof=1))
    of_rest = float((residual**2).sum()) / ((count - 1) * (questions - 1))
    parts = [(of_seeds, count - 1), (of_questions, questions - 1), (of_rest, (count - 1) * (questions - 1))]
    total = of_seeds + of_questions - of_rest
    if total < max(of_seeds, of_questions):  # a part estimated below 0 is none: what is left is the larger of the two
        parts = [max(parts[:2])]
        total = parts[0][0]
    if total <= 0:  # every difference is the same
        return Difference(mean, mean, mean, float(mean == 0), questions, count)
    freedom = total**2 / sum(square**2 / degrees for square, degrees in parts)
    error = math.sqrt(total / (count * questions))
    half = float(stats.t.ppf(0.975, freedom)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, freedom))
    return Difference(mean, mean - half, mean + half, min(p, 1.0), questions, count)


def difference_of_means(values: Mapping[int, float], baseline: Mapping[int, float]) -> Difference | None:
    """The same from the seeds' means alone, where a metric is not known by question: paired Student t; None below two seeds."""
    seeds = sorted(set(values) & set(baseline))
    if len(seeds) < 2:
        return None
    differences = [values[seed] - baseline[seed] for seed in seeds]
    mean = math.fsum(differences) / len(seeds)
    low, high = seed_interval(differences)
    error = float(np.std(differences, ddof=1)) / math.sqrt(len(seeds))
    p = 2 * float(stats.t.sf(abs(mean) / error, len(seeds) - 1)) if error else float(mean == 0)
    return Difference(mean, low, high, p, 0, len(seeds))


def hierarchical_difference(
    answers: Mapping[int, Answers], baseline: Mapping[int, Answers], resamples: int = 2000
) -> tuple[float, float]:
    """95 % percentile interval of the difference when seeds, then questions are resampled: the same for both settings.

    One set of questions serves all seeds of a resample, as it did in the runs (Owen, Annals of Applied Statistics 1 (2007),
    386-411, the pigeonhole bootstrap). Too narrow for a few seeds that differ; see `difference_over_seeds`.
    """
    table = _differences(answers, baseline, _common_seeds(answers, baseline))
    return percentile_interval(crossed_means(table[None], resamples)[0])


def crossed_means(tables: NDArray[np.float64], resamples: int) -> NDArray[np.float64]:
    """(settings, seeds, questions) to (settings, resamples): means under resampled seeds and questions, alike for all."""
    _, seeds, questions = tables.shape
    rng = np.random.default_rng(0)
    found = np.empty((len(tables), resamples))
    rows = max(1, 4_000_000 // questions)  # at once, so that memory stays below a hundred MB
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), stop - start) / seeds
        of_questions = rng.multinomial(questions, np.full(questions, 1 / questions), stop - start) / questions
        for place, table in enumerate(tables):
            found[place, start:stop] = ((of_seeds @ table) * of_questions).sum(1)
    return found


def seed_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % Student t interval of the mean of at least two seeds' values.

    >>> low, high = seed_interval([0.4, 0.5, 0.6])  # 0.5 -+ 4.303 * 0.1 / sqrt(3)
    >>> round(low, 4), round(high, 4)
    (0.2516, 0.7484)
    """
    if len(values) < 2:
        raise ValueError(f"seed_interval: {len(values)} value, expected at least two seeds.")
    mean = math.fsum(values) / len(values)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean - half, mean + half


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted so that the chance of any false finding among them stays below the level. Source: Holm (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for done, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - done) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def same_questions(runs: Sequence[Answers]) -> list[str]:
    """The questions that all these runs answered, sorted. Raises MedrlError where they answered others, or fewer than two."""
    first = set(runs[0])
    for other in runs[1:]:
        if set(other) != first:
            common = len(first & set(other))
            raise MedrlError(
                f"runs on different questions cannot be compared question by question: {len(first)} and {len(other)}"
                f" questions, {common} in common. Validate both on the same data (data.val, data.val_options)."
            )
    if len(first) < 2:
        raise MedrlError(f"{len(first)} question tells nothing about chance; expected at least two.")
    return sorted(first)


def scored_by_all(runs: Sequence[Answers], asked: Sequence[Collection[str]]) -> tuple[list[dict[str, float]], int]:
    """(each run's values of the questions that have one in all runs, how many questions that leaves out).

    `asked`: the questions put to each run, some of which may have no value, as after a reward that failed. Raises MedrlError
    where the runs were asked other questions, or fewer than two have a value in all.
    """
    names = same_questions([dict.fromkeys(one, 0.0) for one in asked])
    common = [name for name in names if all(name in run for run in runs)]
    if len(common) < 2:
        raise MedrlError(
            f"{len(common)} of {len(names)} questions have a value in all {len(runs)} runs; expected at least two."
        )
    return [{name: run[name] for name in common} for run in runs], len(names) - len(common)


def _common_seeds(answers: Mapping[int, Answers], baseline: Mapping[int, Answers]) -> list[int]:
    seeds = sorted(set(answers) & set(baseline))
    if not seeds:
        raise MedrlError(f"no seed in common: {sorted(answers)} and {sorted(baseline)}. Run both with the same seeds.")
    return seeds


def _differences(
    answers: Mapping[int, Answers], baseline: Mapping[int, Answers], seeds: Sequence[int]
) -> NDArray[np.float64]:
    """(seeds, questions)."""
    names = same_questions([run[seed] for seed in seeds for run in (answers, baseline)])
    return np.array([[answers[seed][name] - baseline[seed][name] for name in names] for seed in seeds])
