"""What scoring cost in a step, per reward: the seconds of its calls, and how many of them had no result and why."""

from collections.abc import Sequence

from medrl.rollout.types import Rollout
from medrl.scoring.workers.failed import DIED, KILLED, TIMEOUT


def scoring_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Per reward: `time/scoring/<name>_s` and `…_max_s`, the mean and the longest call; `scoring/<name>/failed`, calls
    without a result, and `…/timeouts`, those that ran out of time. `scoring/replaced`: processes that calls brought down.

    Calls are counted, so a reward of groups counts once for each group.
    """
    seconds: dict[str, list[float]] = {}
    reasons: dict[str, list[str]] = {}
    for rollout in rollouts:
        for name, spent in rollout.score_seconds.items():
            seconds.setdefault(name, []).append(spent)
            if (reason := rollout.missing.get(name)) is not None:
                reasons.setdefault(name, []).append(reason)
    found: dict[str, float] = {}
    for name, spent_s in sorted(seconds.items()):
        why = reasons.get(name, [])
        found[f"time/scoring/{name}_s"] = sum(spent_s) / len(spent_s)
        found[f"time/scoring/{name}_max_s"] = max(spent_s)
        found[f"scoring/{name}/failed"] = float(len(why))
        found[f"scoring/{name}/timeouts"] = float(sum(reason.startswith(TIMEOUT) for reason in why))
    everything = [reason for why in reasons.values() for reason in why]
    found["scoring/replaced"] = float(sum(KILLED in reason or reason.startswith(DIED) for reason in everything))
    return found
