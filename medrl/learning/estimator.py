"""An estimator of advantages as a recipe names it: found, checked against what it is offered, and called once a step.

It asks by the names of its parameters for what it needs; every other parameter is the recipe's to set in
`algorithm.kwargs` (`lambda` there is `lambda_` in Python). What it returns as state comes back at the next step, also
after a resume: checkpoints hold it.
"""

import inspect
import keyword
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medrl.errors import MedrlError
from medrl.plugin import Plugin, check_call, load_plugin
from medrl.recipe import Algorithm, Recipe
from medrl.rollout.types import Rollout
from medrl.scoring.compose import components

State = dict[str, Any]
DEFAULT_NAME = "compute_advantages"  # of a user's file
BUILT_IN = {
    "grpo": "grpo:grpo", "dr_grpo": "grpo:dr_grpo", "rloo": "grpo:rloo", "gdpo": "gdpo:gdpo", "uadt": "uadt:uadt",
}  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """`advantages`: (rollouts,). `state`: plain JSON for the next step. `metrics`: logged as `advantage/<name>`."""

    advantages: Tensor
    state: State = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


# what an estimator may ask for, by name; R rollouts of a step that have a reward
OFFERED: dict[str, Callable[[Recipe, Sequence[Rollout], State], Any]] = {
    # (R,) float32, the weighted sum; (R,) int, equal for attempts at one question
    "rewards": lambda recipe, rollouts, state: torch.tensor([one.reward for one in rollouts], dtype=torch.float32),
    "groups": lambda recipe, rollouts, state: group_numbers(rollouts),
    # (R, rewards of any weight), (rewards,): each reward as it counts (compose.py), before its weight
    "components": lambda recipe, rollouts, state: _components(recipe, rollouts),
    "weights": lambda recipe, rollouts, state: torch.tensor(
        [rule.weight for rule in recipe.rewards.values() if rule.weight], dtype=torch.float32
    ),
    # (R,) float32: mean entropy of the policy over the model's own tokens, in nats, before the update
    "entropies": lambda recipe, rollouts, state: _entropies(rollouts),
    # R names: where each question belongs by `data.slice_by`
    "domains": lambda recipe, rollouts, state: [one.prompt.sample.slice_of(recipe.data.slice_by) for one in rollouts],
    "state": lambda recipe, rollouts, state: state,  # what it returned at the step before; {} at the first
    "rollouts": lambda recipe, rollouts, state: rollouts,  # everything else
}


@dataclass
class Estimator:
    """A loaded estimator and what it remembers."""

    name: str
    function: Callable[..., Any]
    kwargs: dict[str, Any]
    sha256: str | None = None  # of a user's file
    state: State = field(default_factory=dict)

    @property
    def asks_for(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.function).parameters) & OFFERED.keys()

    def advantages(self, recipe: Recipe, rollouts: Sequence[Rollout]) -> tuple[Tensor, dict[str, float]]:
        """((rollouts,) advantages, `advantage/…` metrics) of a step's rollouts, all of which have a reward; remembers its state.

        Raises MedrlError for a result of another shape, or one that is not finite.
        """
        given = {name: OFFERED[name](recipe, rollouts, self.state) for name in sorted(self.asks_for)}
        found = self.function(**given, **self.kwargs)
        if not isinstance(found, Estimate):
            found = Estimate(torch.as_tensor(found))
        advantages = found.advantages
        if advantages.shape != (len(rollouts),) or not torch.isfinite(advantages).all():
            what = (
                "a value that is not finite"
                if advantages.shape == (len(rollouts),)
                else f"shape {tuple(advantages.shape)}"
            )
            raise MedrlError(
                f"algorithm.advantage={self.name}: returned {what}; expected one finite number for each of "
                f"{len(rollouts)} rollouts. Mend the estimator; the run resumes from its last checkpoint."
            )
        self.state = found.state
        return advantages, {f"advantage/{name}": value for name, value in found.metrics.items()}


def load_estimator(algorithm: Algorithm, beside: Path | None = None) -> Estimator:
    """The estimator of `algorithm.advantage` with `algorithm.kwargs`; MedrlError says what does not fit."""
    name = algorithm.advantage
    kwargs = {f"{key}_" if keyword.iskeyword(key) else key: value for key, value in algorithm.kwargs.items()}
    if name in BUILT_IN:
        plugin = _built_in(name)
    elif ".py" in name or ":" in name:
        plugin = load_plugin(name, DEFAULT_NAME, beside)
    else:
        raise MedrlError(
            f"algorithm.advantage={name}: expected one of {', '.join(BUILT_IN)}, or a function of your own as "
            f"path.py[:function] (default name `{DEFAULT_NAME}`)."
        )
    if not callable(plugin.target):
        raise MedrlError(f"{plugin.reference}: a {type(plugin.target).__name__}, expected a function.")
    parameters = inspect.signature(plugin.target).parameters
    offered = {key: None for key in parameters if key in OFFERED}
    try:
        check_call(plugin, (), kwargs, offered)
    except MedrlError as error:
        raise MedrlError(
            f"algorithm.kwargs of algorithm.advantage={name}: {error} An estimator is offered {', '.join(OFFERED)}."
        ) from None
    if faults := _value_faults(plugin, {**_defaults(parameters), **kwargs}):
        raise MedrlError("\n".join(f"algorithm.kwargs.{fault} (algorithm.advantage={name})." for fault in faults))
    return Estimator(name, plugin.target, kwargs, None if name in BUILT_IN else plugin.sha256)


def group_numbers(rollouts: Sequence[Rollout]) -> Tensor:
    """(rollouts,) int: rollouts of one Prompt object are a group."""
    number: dict[int, int] = {}
    return torch.tensor([number.setdefault(id(rollout.prompt), len(number)) for rollout in rollouts])


def judged(recipe: Recipe, rollouts: Sequence[Rollout], asks_for: frozenset[str]) -> Tensor:
    """What the estimator compares: the summed rewards (rollouts,), or the components (rollouts, rewards)."""
    return OFFERED["components" if "components" in asks_for else "rewards"](recipe, rollouts, {})


def _built_in(name: str) -> Plugin:
    module, _, function = BUILT_IN[name].partition(":")
    return load_plugin(f"medrl.learning.advantages.{module}:{function}", function)


def _value_faults(plugin: Plugin, kwargs: dict[str, Any]) -> list[str]:
    """What the file's own `check_kwargs` says of the values, where it has one."""
    check = getattr(inspect.getmodule(plugin.target), "check_kwargs", None)
    if check is None:
        return []
    wanted = inspect.signature(check).parameters
    return list(check(**{key: value for key, value in kwargs.items() if key in wanted}))


def _defaults(parameters: Any) -> dict[str, Any]:
    return {key: one.default for key, one in parameters.items() if one.default is not inspect.Parameter.empty}


def _components(recipe: Recipe, rollouts: Sequence[Rollout]) -> Tensor:
    rules = recipe.rewards
    rows = [
        [value for name, value in components(rollout.scores, rules).items() if rules[name].weight]
        for rollout in rollouts
    ]
    return torch.tensor(rows, dtype=torch.float32)


def _entropies(rollouts: Sequence[Rollout]) -> Tensor:
    if without := sum(rollout.entropy is None for rollout in rollouts):
        raise MedrlError(
            f"{without} of {len(rollouts)} rollouts have no entropy, which this estimator needs. Rollouts stored by runs "
            "whose estimator did not ask for entropies have none; rescore them under algorithm.advantage=grpo."
        )
    return torch.tensor([rollout.entropy for rollout in rollouts], dtype=torch.float32)
