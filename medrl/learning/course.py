"""Which samples a step trains on. Both engines ask here; the answer depends on the seed, the step and `state` alone.

`state` goes into checkpoints, so that a resumed run goes on with the samples an unbroken one would have had. It holds what
failed in the last steps (`curriculum.replay_window`), and nothing where nothing is replayed.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from medrl.data.sample import Sample
from medrl.learning.batches import batch_indices, ordered_indices
from medrl.learning.stages import Rates, Stage, stages_of
from medrl.recipe import Recipe
from medrl.rollout.seeds import derive_seed
from medrl.rollout.types import Rollout
from medrl.scoring.accuracy import accuracy_for


class Course:
    """The order of a run's samples. `rates`: measured pass rates, where the recipe has a file of them."""

    def __init__(self, recipe: Recipe, samples: Sequence[Sample], rates: Rates | None = None) -> None:
        self.recipe = recipe
        self.samples = samples
        self.rates = rates
        self.stages = stages_of(recipe, samples, rates)
        self.state: dict[str, Any] = {}  # {"failed": {sample id: [0-based step, mean accuracy]}}

    def batch(self, step: int) -> list[Sample]:
        """The samples of 0-based `step`: those of the stage that are next, some given up for failed ones, which come last.

        Which are given up is drawn: always the last would always be the hardest, or the same in every pass.
        """
        chosen, again = self._chosen(step), self._again(step)
        lots = np.random.default_rng(derive_seed(self.recipe.seed, "give up", step)).permutation(len(chosen))
        kept = sorted(lots[len(again) :].tolist())
        return [self.samples[index] for index in [*(chosen[place] for place in kept), *again]]

    def more(self, step: int, refill: int, count: int, used: Sequence[Sample]) -> list[Sample]:
        """`count` other samples for the same step, where groups of `used` were dropped; fewer when the stage has no more.

        Drawn at random by (seed, step, refill), so that the order of later steps does not depend on what was dropped.
        With `curriculum.order` those are taken that come nearest to `used` in difficulty.
        """
        pool = self._stage(step)[1].pool
        taken = {sample.id for sample in used}  # by id: it is what a rollout's random numbers come from
        order = np.random.default_rng(derive_seed(self.recipe.seed, "refill", step, refill)).permutation(len(pool))
        others = {one.id: one for place in order.tolist() if (one := self.samples[pool[place]]).id not in taken}
        fresh = list(others.values())
        if self.recipe.curriculum.order and used:
            here = median(self._rate(sample) or 0.0 for sample in used)
            fresh.sort(key=lambda sample: abs((self._rate(sample) or 0.0) - here))
        return fresh[:count]

    def observe(self, step: int, rollouts: Sequence[Rollout]) -> dict[str, float]:
        """Learn from the scored rollouts of a step what the next ones need to know; returns the step's `data/…` metrics."""
        trained = {rollout.prompt.sample.id: rollout.prompt.sample for rollout in rollouts}
        metrics = {}
        if self.recipe.curriculum.stages:
            metrics["data/stage"] = float(self._stage(step)[0] + 1)
        known = [rate for sample in trained.values() if (rate := self._rate(sample)) is not None]
        if known:
            metrics["data/pass_rate_mean"] = sum(known) / len(known)
        if self.recipe.curriculum.replay_share > 0:
            again = {self.samples[index].id for index in self._again(step)}
            metrics["data/replayed"] = float(len(again & trained.keys()))
            self._remember(step, rollouts)
        return metrics

    def _stage(self, step: int) -> tuple[int, Stage]:
        return next((number, stage) for number, stage in enumerate(self.stages) if step < stage.end)

    def _chosen(self, step: int) -> list[int]:
        """Indices of the samples that are next, failed ones aside."""
        number, stage = self._stage(step)
        recipe, since = self.recipe, step - stage.first
        size = recipe.training.prompts_per_step
        seed = derive_seed(recipe.seed, "stage", number) if number else recipe.seed
        if recipe.curriculum.order:
            places = ordered_indices(len(stage.pool), since, size, seed)
        else:
            places = batch_indices(len(stage.pool), since, size, seed, recipe.data.shuffle)
        return [stage.pool[place] for place in places]

    def _again(self, step: int) -> list[int]:
        """Indices of failed samples of this stage that are asked once more, drawn by seed and step. None is in the batch
        already, and they are at most `replay_share` of it. Source: OphVLM-R1's replay of prompts below a reward threshold.
        """
        curriculum = self.recipe.curriculum
        failed = self.state.get("failed", {})
        if not failed or not curriculum.replay_share:
            return []
        here = {self.samples[index].id for index in self._chosen(step)}
        ready = {
            self.samples[index].id: index
            for index in self._stage(step)[1].pool
            if (identity := self.samples[index].id) in failed and identity not in here
        }
        names = sorted(ready)
        most = math.floor(
            curriculum.replay_share * self.recipe.training.prompts_per_step + 1e-9
        )  # 0.29 * 100 is 28.99…
        drawn = np.random.default_rng(derive_seed(self.recipe.seed, "replay", step)).permutation(len(names))
        return [ready[names[place]] for place in drawn[:most].tolist()]

    def _remember(self, step: int, rollouts: Sequence[Rollout]) -> None:
        """Keep what failed now or, within the window, before. A new result replaces an old one; no score changes nothing."""
        curriculum = self.recipe.curriculum
        found: dict[str, list[float]] = {}
        for rollout in rollouts:
            if (accuracy := accuracy_for(self.recipe, rollout)) is not None:
                found.setdefault(rollout.prompt.sample.id, []).append(accuracy)
        means = {identity: sum(values) / len(values) for identity, values in found.items()}
        failed = {identity: kept for identity, kept in self.state.get("failed", {}).items() if identity not in means}
        failed |= {identity: [step, mean] for identity, mean in means.items() if mean < curriculum.replay_below}
        self.state = {
            "failed": {name: kept for name, kept in failed.items() if step + 1 - kept[0] <= curriculum.replay_window}
        }

    def _rate(self, sample: Sample) -> float | None:
        return self.rates.get(sample.id) if self.rates is not None else None
