"""From the outcomes of a sweep's runs to its facts: each point's mean, interval and difference to the baseline, as plain JSON.

Intervals over seeds are Student's; with one seed they are a bootstrap over questions and say so. Differences are paired by
seed and question, their p values adjusted after Holm. Only completed runs count; every other one is named with its reason.
"""

import difflib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from medrl.errors import MedrlError
from medrl.evaluation.intervals import bootstrap_interval
from medrl.evaluation.paired import (
    Answers,
    Difference,
    difference_of_means,
    difference_over_seeds,
    hierarchical_difference,
    holm,
    scored_by_all,
    seed_interval,
)
from medrl.evaluation.standings import Standing, agreement, standings
from medrl.sweep.cards import card_differences
from medrl.sweep.layout import Sweep
from medrl.sweep.outcomes import COSTS, KNOWN, Outcome

# last parts of metrics that should be small: of the journal's, and as a reward of one's own may call them
LOWER = {"truncated", "missing", "length", "slice_gap", "error", "risk_area", "refused", "unreadable", "unknown_tool"}
LOWER |= {"over_turns", "calibration_error", "ece", "mce", "brier", "aurc", "nll", "loss", "mae", "mse", "rmse"}
LEVEL = 0.05


def sweep_facts(sweep: Sweep, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What tables and page are made of. Raises MedrlError for a metric that no validation recorded, with near names."""
    _check_metric(sweep, outcomes)
    names = list(dict.fromkeys(run.point for run in sweep.runs))
    groups = {name: [one for one in outcomes if one.run.point == name] for name in names}
    points = [_point(sweep, name, runs) for name, runs in groups.items()]
    _compare(sweep, points, groups)
    ranking = _rank(sweep, points, groups)
    facts: dict[str, Any] = {
        "name": sweep.name,
        "recipe": sweep.recipe,
        "overrides": list(sweep.overrides),
        "varied": list(sweep.varied),
        "metric": sweep.metric,
        "higher_is_better": higher_is_better(sweep.metric),
        "baseline": sweep.baseline,
        "points": points,
        "ranking": ranking,
        "outcomes": [_run(one) for one in outcomes],
        "problems": [
            *card_differences([(one.run.name, one.card, one.recipe) for one in outcomes if one.done]),
            *(problem for one in outcomes for problem in one.problems),
        ],
    }
    facts["counts"] = dict(Counter(one.status for one in outcomes))
    return facts


def higher_is_better(metric: str) -> bool:
    """Whether more of a metric is better: so for rewards and rates, not for errors, gaps, lengths and what went wrong."""
    return metric.rpartition("/")[2] not in LOWER


def _check_metric(sweep: Sweep, outcomes: Sequence[Outcome]) -> None:
    known = sorted({name for one in outcomes for name in one.series if name.startswith("val/")})
    if known and sweep.metric not in known:
        near = difflib.get_close_matches(sweep.metric, known, 3, 0.4) or known[:5]
        raise MedrlError(
            f"{sweep.folder}: metric={sweep.metric!r}: no validation of its runs recorded that. Near: {', '.join(near)}."
        )


def _point(sweep: Sweep, name: str, runs: Sequence[Outcome]) -> dict[str, Any]:
    done = [one for one in runs if one.done and one.value is not None]
    values = {one.run.seed: one.value for one in done if one.value is not None}
    mean = math.fsum(values.values()) / len(values) if values else None
    interval, kind = None, None
    if len(values) > 1:
        interval, kind = seed_interval(list(values.values())), "seeds"
    elif done and len(done[0].answers) > 1:
        interval, kind = bootstrap_interval(list(done[0].answers.values())), "questions"
    gains = [one.value - one.first for one in done if one.value is not None and one.first is not None]
    return {
        "point": name,
        "set": {key: value for key, value in runs[0].run.set.items() if key != "seed"},
        "runs": len(runs),
        "states": dict(Counter(one.status for one in runs)),
        "seeds": len(values),
        "values": {str(seed): value for seed, value in sorted(values.items())},
        "mean": mean,
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "interval_over": kind,
        "steps": sorted({one.step for one in done if one.step is not None}),
        "gain": _mean(gains),
        "difference": None,
        "not_compared": None,
        "standing": None,
        **{fact: _mean([one.facts.get(fact) for one in done]) for fact in (*KNOWN, *COSTS)},
        "alarms": dict(Counter(name for one in runs for name in one.alarms)),
    }


def _compare(sweep: Sweep, points: Sequence[dict[str, Any]], groups: dict[str, list[Outcome]]) -> None:
    """Give each point its difference to the baseline, or say why it has none; then adjust the p values after Holm."""
    compared = []
    base = groups.get(sweep.baseline, [])
    for point in points:
        if point["point"] == sweep.baseline:
            continue
        try:
            found = _difference(groups[point["point"]], base)
        except MedrlError as error:
            point["not_compared"] = str(error)
            continue
        point["difference"] = found
        if found is None:
            point["not_compared"] = _why_not(sweep, groups[point["point"]], base)
        else:
            compared.append(point)
    for point, adjusted in zip(compared, holm([point["difference"]["p"] for point in compared])):
        point["difference"]["p_holm"] = adjusted


def _why_not(sweep: Sweep, runs: Sequence[Outcome], base: Sequence[Outcome]) -> str:
    """The reason for no difference: a run that is done may still lack the metric, which is not the same as not being done."""
    means, base_means = _answers_or_means(runs)[1], _answers_or_means(base)[1]
    if not means and any(one.done for one in runs):
        return f"it is done, but did not record {sweep.metric}"
    if not base_means and any(one.done for one in base):
        return f"the baseline is done, but did not record {sweep.metric}"
    if not set(means) & set(base_means):
        return "no run of it and of the baseline with the same seed is done"
    return "fewer than two seeds in common, and this metric is not known by question"


def _difference(runs: Sequence[Outcome], base: Sequence[Outcome]) -> dict[str, Any] | None:
    (answers, means), (base_answers, base_means) = _answers_or_means(runs), _answers_or_means(base)
    if not set(means) & set(base_means):
        return None
    common = set(answers) & set(base_answers)
    left_out = 0
    found: Difference | None
    bootstrap: tuple[float | None, float | None]
    if common == set(means) & set(base_means):
        (answers, base_answers), left_out = _shared([runs, base], common)
        found = difference_over_seeds(answers, base_answers)
        bootstrap = hierarchical_difference(answers, base_answers) if found.seeds > 1 else (found.low, found.high)
    else:
        found, bootstrap = difference_of_means(means, base_means), (None, None)
    if found is None:
        return None
    return {**asdict(found), "left_out": left_out, "bootstrap_low": bootstrap[0], "bootstrap_high": bootstrap[1]}


def _shared(groups: Sequence[Sequence[Outcome]], seeds: set[int]) -> tuple[list[dict[int, Answers]], int]:
    """(each group's values by seed, of the questions that have one in every run with these seeds, how many were left out)."""
    kept = [[one for one in runs if one.done and one.answers and one.run.seed in seeds] for runs in groups]
    flat = [one for runs in kept for one in runs]
    found, left_out = scored_by_all([one.answers for one in flat], [one.asked for one in flat])
    values = iter(found)
    return [{one.run.seed: next(values) for one in runs} for runs in kept], left_out


def _answers_or_means(runs: Sequence[Outcome]) -> tuple[dict[int, Answers], dict[int, float]]:
    """By seed, of the completed runs: the questions' values where they are known, and the means."""
    done = [one for one in runs if one.done and one.value is not None]
    return (
        {one.run.seed: one.answers for one in done if one.answers},
        {one.run.seed: one.value for one in done if one.value is not None},
    )


def _rank(sweep: Sweep, points: Sequence[dict[str, Any]], groups: dict[str, list[Outcome]]) -> dict[str, Any]:
    """Each point's standing, and what the seeds say to each other; a point without a completed run is left out."""
    ranked = [point for point in points if point["seeds"]]
    sign = 1 if higher_is_better(sweep.metric) else -1
    both = [_answers_or_means(groups[point["point"]]) for point in ranked]
    tau = agreement([{seed: sign * value for seed, value in means.items()} for _, means in both])
    note, seeds, left_out = None, list[int](), 0
    if len(ranked) > 1:
        found = list[Standing]()
        try:
            if common := set.intersection(*(set(answers) for answers, _ in both)):
                tables, left_out = _shared([groups[point["point"]] for point in ranked], common)
                signed = [
                    {seed: {name: sign * value for name, value in one.items()} for seed, one in answers.items()}
                    for answers in tables
                ]
                found, seeds = standings(signed)
        except MedrlError as error:
            note = str(error)
        for point, standing in zip(ranked, found):
            point["standing"] = asdict(standing)
        note = note or (None if found else "no seed for which all compared points are done and known by question")
    return {"tau": tau, "seeds": seeds, "note": note, "left_out": left_out}


def _run(one: Outcome) -> dict[str, Any]:
    facts = {name: one.facts.get(name) for name in (*KNOWN, *COSTS)}
    return {
        "name": one.run.name, "point": one.run.point, "seed": one.run.seed, "set": one.run.set, "hash": one.run.hash,
        "status": one.status, "reason": one.reason, "step": one.step, "value": one.value, "first": one.first,
        "questions": len(one.answers), **facts, "alarms": one.alarms,
    }  # fmt: skip


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
