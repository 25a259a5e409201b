"""How firm a ranking of settings is: how often each comes first when seeds and questions are drawn again. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from medrl.evaluation.intervals import percentile_interval
from medrl.evaluation.paired import Answers, crossed_means, same_questions
from medrl.evaluation.rankings import compare


@dataclass(frozen=True)
class Standing:
    """`first`: share of resamples in which a setting came first, a tie shared; its mean rank (1 is best) with 95 % interval."""

    first: float
    mean_rank: float
    low: float
    high: float


def standings(settings: Sequence[Mapping[int, Answers]], resamples: int = 2000) -> tuple[list[Standing], list[int]]:
    """(one standing for each setting, the seeds they all have); both empty without such a seed. Higher values are better.

    Seeds and questions are resampled together for all settings, so what is hard for all does not blur their order.
    Raises MedrlError where the settings answered other questions.
    """
    seeds = sorted(set.intersection(*(set(runs) for runs in settings))) if settings else []
    if not seeds:
        return [], []
    names = same_questions([runs[seed] for runs in settings for seed in seeds])
    tables = np.array([[[runs[seed][name] for name in names] for seed in seeds] for runs in settings])
    means = crossed_means(tables, resamples)  # (settings, resamples)
    ranks = rankdata(-means.round(12), axis=0)  # ties share their mean rank
    best = means.round(12) == means.round(12).max(0)
    first = (best / best.sum(0)).mean(1)
    found = []
    for place, share in enumerate(first):
        low, high = percentile_interval(ranks[place])
        found.append(Standing(float(share), float(ranks[place].mean()), low, high))
    return found, seeds


def agreement(means: Sequence[Mapping[int, float]]) -> float | None:
    """Kendall's tau between the seeds' rankings of the settings, the mean over pairs of seeds; None where none can be had.

    `means`: of each setting, by seed; seeds that a setting lacks are left out.

    >>> agreement([{0: 0.1, 1: 0.2}, {0: 0.5, 1: 0.3}, {0: 0.9, 1: 0.1}])
    -0.3333333333333333
    """
    if len(means) < 2:
        return None
    seeds = sorted(set.intersection(*(set(one) for one in means)))
    columns = [[one[seed] for one in means] for seed in seeds]
    taus = [compare(one, other).tau for one, other in combinations(columns, 2)]
    known = [tau for tau in taus if tau is not None]
    return sum(known) / len(known) if known else None
