"""A recipe that has been checked, with everything that was loaded to check it: what an engine starts from."""

from dataclasses import dataclass
from pathlib import Path

from medrl.data.source import DataSet
from medrl.dialogue.prompts import PromptStyle
from medrl.dialogue.tokens import PromptBuilder
from medrl.learning.estimator import Estimator
from medrl.learning.pass_rates import PassRates
from medrl.recipe import Recipe
from medrl.rollout.interaction import Interaction
from medrl.scoring.loaded import LoadedReward


@dataclass(frozen=True)
class Plan:
    """Made by `preflight.check`."""

    recipe: Recipe
    beside: Path  # the recipe's directory: plug-ins are looked for here too
    train: DataSet
    val: DataSet
    demonstrations: DataSet | None
    rewards: list[LoadedReward]
    style: PromptStyle
    builder: PromptBuilder
    interaction: Interaction | None  # how episodes with an environment are played; None: one reply to each question
    estimator: Estimator
    longest_prompt: int
    warnings: list[str]
    memory: list[str]  # what engine verl needs per GPU, as a table; empty for engine local
    shortcut: str = ""  # the best that a rule does on `val` without the picture, as a sentence
    measured: PassRates | None = None  # of `curriculum.pass_rates`

    @property
    def rates(self) -> dict[str, float | None] | None:
        """Measured pass rates by sample id, for the course."""
        return self.measured.rates if self.measured else None
