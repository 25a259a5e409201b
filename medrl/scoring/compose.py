"""From a rollout's components to its reward: weights, and gates that let a component count only where another is earned.

Pure functions of named scores, used wherever rewards are summed: by both engines, under plain verl, and in rescoring.
"""

from collections.abc import Mapping
from typing import Protocol

OPENS = 0.5  # a gate is open above this score
SCORE, GATED = "score", "gated"  # entries of a reward in `Rollout.scores`


class Rule(Protocol):
    """What composition asks of a reward: the recipe's entry has it, and so has the loaded one."""

    @property
    def weight(self) -> float: ...
    @property
    def gate(self) -> str | None: ...


def is_open(name: str, scores: Mapping[str, float], rules: Mapping[str, Rule]) -> bool:
    """Whether the reward counts: it has no gate, or its gate scores above 0.5 and counts itself. Circles are no recipe.

    >>> from medrl.recipe import Reward
    >>> rules = {"format": Reward(weight=0), "answer": Reward(gate="format"), "tool": Reward(gate="answer")}
    >>> is_open("tool", {"format/score": 0, "answer/score": 1, "tool/score": 1}, rules)
    False
    """
    gate = rules[name].gate
    return gate is None or (scores[f"{gate}/{SCORE}"] > OPENS and is_open(gate, scores, rules))


def components(scores: Mapping[str, float], rules: Mapping[str, Rule]) -> dict[str, float]:
    """The score of each reward as it counts, before its weight: 0 where its gate is closed or it has no say.

    `scores`: `name/entry` to value, complete but for rewards that do not apply to the question's kind.
    """
    return {
        name: scores[f"{name}/{SCORE}"] if f"{name}/{SCORE}" in scores and is_open(name, scores, rules) else 0.0
        for name in rules
    }


def total(scores: Mapping[str, float], rules: Mapping[str, Rule]) -> float:
    """The reward: the weighted sum of the components.

    MedVLThinker's product of format and accuracy is a format of weight 0 that gates the answer:

    >>> from medrl.recipe import Reward
    >>> rules = {"answer": Reward(gate="format"), "format": Reward(weight=0)}
    >>> [total({"answer/score": 1.0, "format/score": form}, rules) for form in (0.0, 1.0)]
    [0.0, 1.0]
    """
    return float(sum(rules[name].weight * value for name, value in components(scores, rules).items()))


def weights_in_force(scores: Mapping[str, float], rules: Mapping[str, Rule]) -> dict[str, float]:
    """Every reward's weight in this rollout: 0 where its gate is closed."""
    scored = {name for name in rules if f"{name}/{SCORE}" in scores}
    return {
        name: rule.weight if name in scored and is_open(name, scores, rules) else 0.0 for name, rule in rules.items()
    }


def gated_entries(scores: Mapping[str, float], rules: Mapping[str, Rule]) -> dict[str, float]:
    """`name/gated` of each reward with a gate that has a say: 1 where the gate is closed. Its mean is the share."""
    return {
        f"{name}/{GATED}": float(not is_open(name, scores, rules))
        for name, rule in rules.items()
        if rule.gate is not None and f"{name}/{SCORE}" in scores
    }
