"""Which samples a step trains on. Both engines ask here; the answer depends on the seed, the step and `state` alone.

`state` goes into checkpoints, so that a resumed run goes on with the samples an unbroken one would have had.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from medrl.data.sample import Sample
from medrl.learning.batches import batch_indices
from medrl.recipe import Recipe
from medrl.rollout.seeds import derive_seed
from medrl.rollout.types import Rollout


class Course:
    """The order of a run's samples."""

    def __init__(self, recipe: Recipe, samples: Sequence[Sample]) -> None:
        self.recipe = recipe
        self.samples = samples
        self.state: dict[str, Any] = {}

    def batch(self, step: int) -> list[Sample]:
        """The samples of 0-based `step`."""
        recipe = self.recipe
        size, shuffle = recipe.training.prompts_per_step, recipe.data.shuffle
        chosen = batch_indices(len(self.samples), step, size, recipe.seed, shuffle)
        return [self.samples[index] for index in chosen]

    def more(self, step: int, refill: int, count: int, used: Sequence[Sample]) -> list[Sample]:
        """`count` other samples for the same step, where groups of `used` were dropped; fewer when the data have no more.

        Drawn at random by (seed, step, refill), so that the order of later steps does not depend on what was dropped.
        """
        taken = {id(sample) for sample in used}
        order = np.random.default_rng(derive_seed(self.recipe.seed, "refill", step, refill)).permutation(
            len(self.samples)
        )
        fresh = (self.samples[index] for index in order.tolist())
        return [sample for sample in fresh if id(sample) not in taken][:count]

    def observe(self, step: int, rollouts: Sequence[Rollout]) -> None:
        """Learn from the scored rollouts of a step what the next ones need to know."""
