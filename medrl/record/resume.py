"""What a recipe may change between a run and its resume, and what would mix two experiments in one directory."""

from pathlib import Path

from omegaconf import OmegaConf

from medrl.recipe import Recipe, changed_keys, recipe_from

# changing these in a resume changes nothing of what the run has done so far
FREE_ON_RESUME = (
    "checkpoint.", "health.", "loggers.", "scoring.max_missing", "scoring.workers", "scoring.memory_mb", "engine.threads",
    "engine.rows_at_once", "runs_dir",
)  # fmt: skip
FREE_ENDINGS = (".timeout_s",)  # of a reward


def binding_changes(stored: Path, recipe: Recipe) -> list[str]:
    """`key: old -> new` for what keeps `recipe` from going on with the run whose recipe.yaml is `stored`."""
    before = recipe_from(OmegaConf.to_container(OmegaConf.load(stored)), str(stored), recipe.name)  # type: ignore[arg-type]
    return [
        line
        for line in changed_keys(before, recipe)
        if not line.startswith(FREE_ON_RESUME) and not line.partition(": ")[0].endswith(FREE_ENDINGS)
    ]
