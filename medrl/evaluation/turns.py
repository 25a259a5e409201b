"""What acting was worth: how many attempts had an action confirmed or refused, and what was right only after a look."""

from collections.abc import Sequence
from dataclasses import replace

from medrl.record.replies import RIGHT
from medrl.rollout.confirmed import looks
from medrl.rollout.types import Fault, Rollout
from medrl.scoring.given import record_of
from medrl.scoring.loaded import LoadedReward
from medrl.scoring.rewards import score_rollouts
from medrl.scoring.workers.service import Service

ANSWER = "answer"  # the reward of this name says what is right, on the report too
FAULTS: tuple[Fault, ...] = ("unreadable", "unknown_tool", "refused")


def turn_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Shares of rollouts, of those with an environment; empty where none has one.

    `tool/confirmed`: one or more confirmed actions; `tool/looked`: one or more that showed something new; `tool/refused`:
    an action with a fault, of any class, and `tool/fault/<class>` of each; `tool/over_turns`: the turn limit met.
    `tool/turns`: replies of the model, on average.
    """
    played = [rollout for rollout in rollouts if rollout.turns]
    if not played:
        return {}

    def share(flags: Sequence[bool]) -> float:
        return sum(flags) / len(played)

    faults = [{turn.fault_class for turn in one.turns if turn.fault is not None} for one in played]
    return {
        "tool/confirmed": share([any(turn.confirmed is not None for turn in one.turns) for one in played]),
        "tool/looked": share([bool(looks(record_of(one) or {})) for one in played]),
        "tool/refused": share([bool(found) for found in faults]),
        **{f"tool/fault/{name}": share([name in found for found in faults]) for name in FAULTS},
        "tool/over_turns": share([one.end_reason == "turns" for one in played]),
        "tool/turns": sum(len(one.turns) for one in played) / len(played),
    }


def gain_over_turn_one(
    rollouts: Sequence[Rollout], rewards: Sequence[LoadedReward], pool: Service | None = None
) -> dict[str, float]:
    """`tool/gain_over_turn_one`: share of rollouts right by their last reply less the share right by their first.

    The reward called `answer` grades both, 0.5 being right, a missing score wrong; empty without it or an environment. A
    first reply that acts answers only inside `<answer>` tags, so that a box it asks for is not taken for its answer; one
    that gives none is wrong and not graded.
    """
    graders = [replace(reward, gate=None) for reward in rewards if reward.name == ANSWER and not reward.of_group]
    played = [rollout for rollout in rollouts if rollout.turns]
    if not graders or not played:
        return {}
    again = [
        replace(
            one, text=one.turns[0].text, turns=[], scores={}, turn_scores={}, score_seconds={}, missing={}, reward=None
        )
        for one in played
        if not one.missing and len(one.turns) > 1 and "<answer>" in one.turns[0].text.lower()
    ]
    score_rollouts(again, graders, pool)
    first = [one for one in played if len(one.turns) == 1] + again
    return {"tool/gain_over_turn_one": (_right(played) - _right(first)) / len(played)}


def _right(rollouts: Sequence[Rollout]) -> int:
    return sum(rollout.scores.get(f"{ANSWER}/score", 0.0) >= RIGHT for rollout in rollouts)
