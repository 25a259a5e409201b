"""What a reward returned: as named floats, per turn where it says so, or the reason why it is of no use."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # it would import torch, and rewards run in light processes
    from medrl.rollout.types import Rollout

TURNS = "turns"  # the entry with a value per turn
SUM_TOLERANCE = 1e-6


def numbers_of(result: Any) -> dict[str, float]:
    """A reward's return value as named floats with a `score`; what is not a number is left to the reward itself."""
    entries = result if isinstance(result, dict) else {"score": result}
    if "score" not in entries:
        raise ValueError(f"returned a dict without 'score': {sorted(entries)}")
    numbers = {str(key): float(value) for key, value in entries.items() if _is_number(value)}
    if "score" not in numbers or not all(math.isfinite(value) for value in numbers.values()):
        raise ValueError(f"returned {entries!r}; expected finite numbers")
    return numbers


def turn_values_of(result: Any, turns: int) -> list[float] | None:
    """The value of each of the model's `turns` replies, whose sum is the score; None where the reward gives none.

    >>> turn_values_of({"score": 1.25, "turns": [0.25, 1]}, 2)
    [0.25, 1.0]
    """
    if not isinstance(result, dict) or TURNS not in result:
        return None
    given, score = result[TURNS], result["score"]
    known = isinstance(given, (list, tuple)) and all(_is_number(one) for one in given)
    if not known or len(given) != turns:
        raise ValueError(f"returned turns={given!r}; expected a list of {turns} numbers, one for each reply")
    if not abs(math.fsum(given) - score) <= SUM_TOLERANCE:
        raise ValueError(f"returned turns={given!r}, whose sum is not the score {score!r}")
    return [float(one) for one in given]


def token_rewards(rollout: "Rollout", weights: dict[str, float]) -> list[float]:
    """One number per response token, their sum the rollout's reward: a turn's value on the last token of its reply.

    `weights`: of the recipe's rewards by name, 0 behind a closed gate (compose.py). What was not given per turn stands on
    the last token of all; a rollout without a reward has 0 everywhere.
    """
    spread = [0.0] * len(rollout.token_ids)
    if rollout.reward is None:
        return spread
    end = 0
    for number, turn in enumerate(rollout.turns):
        said, heard = turn.tokens
        for name, values in rollout.turn_scores.items():
            spread[end + said - 1] += weights[name] * values[number]
        end += said + heard
    spread[-1] += rollout.reward - math.fsum(spread)
    return spread


def entries_of(results: Any, group: int) -> Sequence[Any]:
    """The results of a group reward, one for each of the group's rollouts."""
    if not isinstance(results, (list, tuple)) or len(results) != group:
        found = f"{len(results)} of them" if isinstance(results, (list, tuple)) else repr(results)[:80]
        raise ValueError(f"returned {found}; expected a list of {group} scores, one for each rollout of the group")
    return results


def _is_number(value: Any) -> bool:
    """Whether it is one number: Python's, numpy's (a float32 is no `float`), or a tensor without dimensions."""
    return isinstance(value, (float, int, Real, np.bool_)) or (hasattr(value, "is_floating_point") and value.ndim == 0)
