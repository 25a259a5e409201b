"""An estimator of advantages as a recipe names it: found, checked against what it is offered, and called once a step.

It asks by the names of its parameters for what it needs; every other parameter is the recipe's to set in
`algorithm.kwargs` (`lambda` there is `lambda_` in Python). What it returns as state comes back at the next step, also
after a resume: checkpoints hold it.
"""

import inspect
import json
import keyword
import math
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

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
    "entropy_bonus": "entropy_bonus:entropy_bonus", "drpo": "drpo:drpo", "worst_group": "worst_group:worst_group",
}  # fmt: skip


PLAIN: dict[Any, str] = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}


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

        Raises MedrlError for an estimator that raises, a result that is not one finite number per rollout, and a state that
        a checkpoint could not hold.
        """
        given = {name: OFFERED[name](recipe, rollouts, self.state) for name in sorted(self.asks_for)}
        try:
            found = self.function(**given, **self.kwargs)
        except MedrlError:
            raise
        except Exception:
            raise self._fault(f"it raised an exception. Its traceback:\n{_excerpt()}\n", len(rollouts)) from None
        estimate = found if isinstance(found, Estimate) else Estimate(found)
        advantages = _as_tensor(estimate.advantages)
        if fault := _fault_of(advantages, estimate, len(rollouts)):
            raise self._fault(fault, len(rollouts))
        # what a resumed run would read, so that it goes on as an unbroken one does
        self.state = json.loads(json.dumps(estimate.state))
        assert advantages is not None
        return advantages, {f"advantage/{name}": float(value) for name, value in estimate.metrics.items()}

    def _fault(self, what: str, count: int) -> MedrlError:
        file = "" if self.name in BUILT_IN else f" ({inspect.getsourcefile(self.function) or self.name})"
        return MedrlError(
            f"algorithm.advantage={self.name}{file}: {what} Expected a tensor of one finite number for each of the {count} "
            "rollouts, or an Estimate of it. Mend the estimator; a run that has begun resumes from its last checkpoint."
        )


def load_estimator(algorithm: Algorithm, beside: Path | None = None) -> Estimator:
    """The estimator of `algorithm.advantage` with `algorithm.kwargs`; MedrlError says what does not fit."""
    name = algorithm.advantage
    kwargs = {f"{key}_" if keyword.iskeyword(key) else key: value for key, value in algorithm.kwargs.items()}
    if name in BUILT_IN:
        plugin = _built_in(name)
    elif ".py" in name or ":" in name:
        with _named("algorithm.advantage"):
            plugin = load_plugin(name, DEFAULT_NAME, beside)
    else:
        raise MedrlError(
            f"algorithm.advantage={name}: expected one of {', '.join(BUILT_IN)}, or a function of your own as "
            f"path.py[:function] (default name `{DEFAULT_NAME}`)."
        )
    if not callable(plugin.target):
        raise MedrlError(
            f"algorithm.advantage={name}: {plugin.path} has a {type(plugin.target).__name__} of that name, expected a function."
        )
    parameters = inspect.signature(plugin.target).parameters
    offered = {key: None for key in parameters if key in OFFERED}
    try:
        check_call(plugin, (), kwargs, offered)
    except MedrlError as error:
        raise MedrlError(
            f"algorithm.kwargs of algorithm.advantage={name}: {error} An estimator is offered {', '.join(OFFERED)}."
        ) from None
    if faults := _type_faults(plugin.target, kwargs) or _value_faults(plugin, {**_defaults(parameters), **kwargs}):
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


def _type_faults(function: Any, kwargs: dict[str, Any]) -> list[str]:
    """Values of another type than the parameter is annotated with, where that is a plain one."""
    try:
        hints = get_type_hints(function)
    except Exception:  # an annotation may be any text; it is then no help
        return []
    faults = []
    for key, value in kwargs.items():
        hint = hints.get(key)
        wanted = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        if not all(one in PLAIN for one in wanted):
            continue
        if type(value) in wanted or (float in wanted and type(value) is int):
            continue
        names = " or ".join(PLAIN[one] for one in wanted)
        faults.append(f"{key.rstrip('_')}={value!r}: expected {names}")
    return faults


def _value_faults(plugin: Plugin, kwargs: dict[str, Any]) -> list[str]:
    """What the file's own `check_kwargs` says of the values, where it has one."""
    check = getattr(inspect.getmodule(plugin.target), "check_kwargs", None)
    if check is None:
        return []
    wanted = inspect.signature(check).parameters
    try:
        return list(check(**{key: value for key, value in kwargs.items() if key in wanted}))
    except Exception:
        raise MedrlError(
            f"algorithm.kwargs of algorithm.advantage={plugin.reference}: `check_kwargs` of {plugin.path} raised an exception, "
            "and it is meant to return a list of what is wrong with the values. Mend it, or the values. Its traceback:\n"
            f"{_excerpt()}"
        ) from None


def _as_tensor(found: Any) -> Tensor | None:
    """What an estimator returned as float32 numbers without gradient; None where it is none."""
    try:
        return torch.as_tensor(found, dtype=torch.float32).detach()
    except (TypeError, ValueError, RuntimeError):
        return None


def _fault_of(advantages: Tensor | None, estimate: Estimate, count: int) -> str | None:
    """What is wrong with what an estimator returned, as a sentence, or None."""
    if advantages is None:
        return f"returned a {type(estimate.advantages).__name__}."
    if advantages.shape != (count,):
        return f"returned shape {tuple(advantages.shape)}."
    if not torch.isfinite(advantages).all():
        first = int((~torch.isfinite(advantages)).nonzero()[0])
        return f"returned a value that is not finite, {float(advantages[first])} for rollout {first}."
    if place := _not_plain(estimate.state, "state"):
        return f"its {place}, and a checkpoint keeps plain JSON: dicts with text as keys, lists, text, finite numbers, None."
    for name, value in estimate.metrics.items():
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            return f"its metric {name} is {value!r}, and the journal takes finite numbers; write float(…)."
    return None


def _not_plain(value: Any, place: str) -> str | None:
    """Where a state is not plain JSON that comes back from a file as it was, or None."""
    if type(value) is dict:
        if keys := [key for key in value if type(key) is not str]:
            return f"{place} has the key {keys[0]!r}"
        return next((fault for key, item in value.items() if (fault := _not_plain(item, f"{place}[{key!r}]"))), None)
    if type(value) is list and place != "state":
        return next((fault for at, item in enumerate(value) if (fault := _not_plain(item, f"{place}[{at}]"))), None)
    if place == "state" or not (value is None or type(value) in (str, bool, int, float)):
        return f"{place} is a {type(value).__name__}"
    return f"{place} is {value}" if type(value) is float and not math.isfinite(value) else None


def _excerpt(lines: int = 12) -> str:
    """The end of the traceback being handled."""
    return "\n".join(traceback.format_exc().strip().splitlines()[-lines:])


@contextmanager
def _named(key: str) -> Iterator[None]:
    """A fault in finding a file, led by the recipe's key."""
    try:
        yield
    except MedrlError as error:
        raise MedrlError(f"{key}={error}") from None


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
