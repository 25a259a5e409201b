"""The model GRPO starts from on a cluster: what the recipe names, or one made in the run folder (`tiny`, a cold start)."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.learning.cold_start import cold_start
from medrl.learning.model import Loaded, load_model, merged
from medrl.learning.plan import Plan
from medrl.record.run import Run


@dataclass
class Start:
    """`model_path` can be named to vLLM and verl at once; its weights are there after `finish`.

    vLLM needs configuration and tokenizer alone, since it gets its weights from the workers; so its servers start while
    the cold start still runs. `resumed`: the checkpoint to go on from.
    """

    plan: Plan
    model_path: str
    resumed: Path | None
    loaded: Loaded | None = None

    def finish(self, log: Callable[[dict[str, Any]], None]) -> None:
        """Make the cold start and write the weights, if that is still to be done; `log` gets one entry a step."""
        if self.loaded is None:
            return
        recipe, demonstrations = self.plan.recipe, self.plan.demonstrations
        if recipe.sft.steps and demonstrations:
            share = not recipe.model.gradient_checkpointing
            cold_start(
                self.loaded.policy, self.plan.builder, demonstrations.samples, recipe.sft, recipe.seed, log, share,
                self.plan.interaction,
            )  # fmt: skip
        merged(self.loaded.policy.model).save_pretrained(self.model_path)
        self.loaded = None  # its memory belongs to the workers now


def prepare(plan: Plan, run: Run) -> Start:
    """Find the checkpoint to resume from and the model to start from; the weights may still have to be finished."""
    recipe, folder = plan.recipe, run.folder.resolve() / "base_model"
    resumed = run.rewind()
    made_here = recipe.model.path == "tiny" or (recipe.sft.steps and plan.demonstrations)
    if resumed is not None:
        return Start(plan, str(folder) if made_here else recipe.model.path, resumed)
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that ended before its first checkpoint
    if not made_here:
        return Start(plan, recipe.model.path, None)
    loaded = load_model(recipe.model, recipe.engine, recipe.seed, run.folder / "tiny")
    network = loaded.policy.core
    network.config.architectures = [type(network).__name__]  # as save_pretrained of the weights will write it
    for part in (network.config, network.generation_config, loaded.processor):
        part.save_pretrained(folder)
    return Start(plan, str(folder), None, loaded)
