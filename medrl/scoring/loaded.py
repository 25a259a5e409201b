"""The rewards a recipe names, loaded and checked against what they will be called with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.data.sample import Sample
from medrl.errors import MedrlError
from medrl.plugin import Plugin, check_call, load_plugin
from medrl.recipe import Reward
from medrl.scoring.signature import ARGUMENTS, NAMES, scores_groups

EACH = dict.fromkeys(ARGUMENTS)


@dataclass(frozen=True)
class LoadedReward:
    """One reward of the recipe: its function, weight and keyword arguments. `of_group`: it scores a whole group at once."""

    name: str
    plugin: Plugin
    weight: float
    kwargs: dict[str, Any]
    kinds: tuple[str, ...] = ()
    of_group: bool = False
    gate: str | None = None
    timeout_s: float = 10.0

    def applies(self, sample: Sample) -> bool:
        """Whether this reward has a say about the sample's kind of question."""
        return not self.kinds or sample.kind in self.kinds


def load_rewards(rewards: dict[str, Reward], beside: Path | None = None) -> list[LoadedReward]:
    """Load every reward and check that it takes what it will be given and the recipe's kwargs; MedrlError lists all faults."""
    loaded, problems = [], []
    for name, given in rewards.items():
        try:
            plugin = load_plugin(given.use, NAMES, beside)
            of_group = scores_groups(plugin.target)
            check_call(plugin, ("group",) if of_group else (), given.kwargs, {} if of_group else EACH)
        except MedrlError as error:
            problems.append(f"rewards.{name}: {error}")
            continue
        loaded.append(
            LoadedReward(
                name,
                plugin,
                given.weight,
                dict(given.kwargs),
                tuple(given.kinds),
                of_group,
                given.gate,
                given.timeout_s,
            )
        )
    if problems:
        raise MedrlError("\n".join(problems))
    return loaded
