"""The sweep in words: what came out ahead, by how much and how sure, and what the numbers mean. No claim beyond the intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from medrl.record.charts import number_text

LEVEL = 0.05
UNDONE = ("failed", "stopped", "interrupted", "running", "new", "other")


def headline(facts: Mapping[str, Any]) -> str:
    """One or two sentences for the head of the page and of the table."""
    points, metric = [point for point in facts["points"] if point["mean"] is not None], facts["metric"]
    total, done = len(facts["outcomes"]), facts["counts"].get("done", 0)
    so_far = "" if done == total else f" So far {done} of {total} runs are done."
    if not points:
        return f"No run has a last validation yet, so nothing can be said about {metric}.{so_far}"
    best = best_point(facts)
    assert best is not None
    if len(facts["points"]) == 1:
        return f"{best['point']}: {metric} is {with_interval(best)} {over(best)}; there is nothing to compare it with.{so_far}"
    base = next((point for point in points if point["point"] == facts["baseline"]), None)
    if base is None:
        lacking = any(point["point"] == facts["baseline"] and point["states"].get("done") for point in facts["points"])
        why = "did not record it though it is done" if lacking else "has no run that is done"
        return (
            f"{best['point']} has the {_most(facts)} {metric}, {with_interval(best)}, but the baseline {facts['baseline']} {why},"
            f" so no difference can be told.{so_far}"
        )
    found = [point for point in points if point["difference"]]
    better = [point for point in found if certain(point) and _gain(facts, point) > 0]
    worse = [point for point in found if certain(point) and _gain(facts, point) < 0]
    if better:
        top = max(better, key=lambda point: _gain(facts, point))
        others = f" {_also(better, top, 'better')}" if len(better) > 1 else ""
        nominal = (
            "" if top is best else f" {best['point']} has the {_most(facts)} mean, but its difference is less sure."
        )
        return (
            f"{top['point']} is better than the baseline {base['point']}: {metric} {with_interval(top)} against"
            f" {with_interval(base)}, a difference of {difference_text(top)}, {p_text(top)}, {over(top['difference'])}."
            f"{_one_seed([*better, *worse])}{others}{nominal}{_worse(worse)}{so_far}"
        )
    if worse:
        return (
            f"Nothing is better than the baseline {base['point']} ({metric} {with_interval(base)})."
            f"{_worse(worse)}{_one_seed(worse)}{so_far}"
        )
    if not found:
        return (
            f"{base['point']} is at {metric} {with_interval(base)}; no other point can be compared with it yet.{so_far}"
        )
    nearest = min(found, key=lambda point: point["difference"]["p_holm"])
    return (
        f"No difference to the baseline {base['point']} ({metric} {with_interval(base)}) can be told:"
        f" the clearest is {nearest['point']} with {difference_text(nearest)}, {p_text(nearest)}.{so_far}"
    )


def best_point(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """The point with the best mean, sure or not; the first of equals."""
    known = [point for point in facts["points"] if point["mean"] is not None]
    sign = 1 if facts["higher_is_better"] else -1
    return max(known, key=lambda point: sign * point["mean"], default=None)


def certain(point: Mapping[str, Any]) -> bool:
    """Whether a point's difference stands: its interval excludes 0 and so does p after Holm."""
    found = point["difference"]
    return bool(found) and not found["low"] <= 0 <= found["high"] and found["p_holm"] < LEVEL


def notes(facts: Mapping[str, Any]) -> list[str]:
    """What the columns mean and what was done, in plain sentences."""
    points, metric = facts["points"], facts["metric"]
    kinds = {point["interval_over"] for point in points}
    said = [f"{metric} is that of the last validation of completed runs: no step was chosen by its held-out result."]
    if "seeds" in kinds:
        said.append(
            "[ ] after a mean: 95 % interval over seeds (Student t), where the mean over many seeds would lie, on these questions."
        )
    if "questions" in kinds:
        said.append(
            "With one seed the interval is a bootstrap over questions: it knows nothing of what another seed would give."
        )
    found = [point["difference"] for point in points if point["difference"]]
    if any(one["seeds"] > 1 and one["n"] for one in found):
        said.append(
            "Difference: to the baseline, paired by seed and question; its 95 % interval and p count both seeds and questions"
            " as chance (two-way layout, Student t with Satterthwaite's degrees of freedom)."
        )
    if any(one["seeds"] == 2 and one["n"] for one in found):
        said.append(
            "Two seeds tell little of how far seeds differ: at worst such an interval of a difference covers the truth"
            " about 87 times in 100 instead of 95, so that p is too small (three seeds: about 93 times)."
        )
    if any(one["seeds"] == 1 for one in found):
        said.append("Difference with one seed: to the baseline, a bootstrap paired by question.")
    if any(not one["n"] for one in found):
        said.append(f"{metric} is not kept by question, so its differences are paired by seed alone (Student t).")
    if found:
        count = len(found)
        said.append(
            f"p: two-sided, adjusted after Holm for {count} comparison{'' if count == 1 else 's'} with the baseline;"
            " the intervals are not adjusted."
        )
    if facts["ranking"]["seeds"]:
        said.append(
            "First: in how many of 2,000 draws of seeds and questions a point came out best; a rank of 1 is the best."
            f" From the seeds all points have: {', '.join(map(str, facts['ranking']['seeds']))}."
        )
        if left_out := facts["ranking"].get("left_out"):
            said.append(
                f"Left out of the ranking, for want of a value in some run: {left_out} question{'' if left_out == 1 else 's'}."
            )
    if facts["ranking"]["tau"] is not None:
        said.append(f"Kendall's tau between the seeds' rankings: {signed(facts['ranking']['tau'])}.")
    if len({step for point in points for step in point["steps"]}) > 1:
        said.append("Points were measured at different steps; see the runs.")
    if not facts["higher_is_better"]:
        said.append(f"Of {metric}, less is better.")
    return said


def with_interval(point: Mapping[str, Any]) -> str:
    """`0.612 [0.580, 0.644]`; the mean alone where there is no interval."""
    if point["mean"] is None:
        return "–"
    edges = f" [{fixed(point['low'])}, {fixed(point['high'])}]" if point["low"] is not None else ""
    return f"{fixed(point['mean'])}{edges}"


def difference_text(point: Mapping[str, Any]) -> str:
    found = point["difference"]
    return "–" if not found else f"{signed(found['mean'])} [{signed(found['low'])}, {signed(found['high'])}]"


def p_text(point: Mapping[str, Any], name: str = "p ") -> str:
    """`p = 0.012`, or `p < 0.001`."""
    if not point["difference"]:
        return "–"
    p = point["difference"]["p_holm"]
    return f"{name}< 0.001" if p < 0.001 else f"{name}= {p:.3f}" if name else f"{p:.3f}"


def over(found: Mapping[str, Any]) -> str:
    """Of a point or a difference."""
    return f"over {found['seeds']} seeds" if found["seeds"] > 1 else "with one seed"


def states_text(point: Mapping[str, Any]) -> str:
    """`3`, or `2 of 3 (1 failed)`."""
    if point["seeds"] == point["runs"]:
        return str(point["seeds"])
    rest = [f"{point['states'][state]} {state}" for state in UNDONE if state in point["states"]]
    return f"{point['seeds']} of {point['runs']}" + (f" ({', '.join(rest)})" if rest else "")


def fixed(value: float | None) -> str:
    """Three decimals where that is enough, else three significant digits.

    >>> fixed(0.6), fixed(-0.0123), fixed(48.26), fixed(None)
    ('0.600', '−0.012', '48.3', '–')
    """
    if value is None or abs(value) >= 10:
        return number_text(value)
    return f"{value:.3f}".replace("-", "−")


def signed(value: float) -> str:
    return f"+{fixed(value)}" if value > 0 else fixed(value) if value < 0 else "0"


def _gain(facts: Mapping[str, Any], point: Mapping[str, Any]) -> float:
    return float(point["difference"]["mean"]) * (1 if facts["higher_is_better"] else -1)


def _most(facts: Mapping[str, Any]) -> str:
    return "highest" if facts["higher_is_better"] else "lowest"


def _also(points: Sequence[Mapping[str, Any]], top: Mapping[str, Any], word: str) -> str:
    return (
        f"Also {word}: " + ", ".join(f"{one['point']} {difference_text(one)}" for one in points if one is not top) + "."
    )


def _one_seed(points: Sequence[Mapping[str, Any]]) -> str:
    """What a difference within one seed cannot say."""
    if all(point["difference"]["seeds"] > 1 for point in points):
        return ""
    return " Where there is only one seed, this is said of its two runs, not of the settings: another seed may differ."


def _worse(points: Sequence[Mapping[str, Any]]) -> str:
    return " Worse: " + ", ".join(f"{one['point']} {difference_text(one)}" for one in points) + "." if points else ""
