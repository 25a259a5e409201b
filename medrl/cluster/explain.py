"""What `medrl check` shows of a cluster recipe: which verl keys it sets, and the same run as a plain verl command."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medrl.cluster.settings import MAPPED, Machine, overrides
from medrl.learning.estimator import BUILT_IN, Estimator
from medrl.recipe import Recipe

# what only medrl's trainer reads, and what verl has of its own for it
ONLY_OURS = (
    "actor_rollout_ref.model.external_lib", "actor_rollout_ref.actor.optim.override_optimizer_config",
    "actor_rollout_ref.rollout.val_kwargs.n", "trainer.resume_mode", "trainer.logger", "reward.num_workers",
)  # fmt: skip


def mapping(recipe: Recipe, machine: Machine) -> dict[str, str]:
    """`our.key=value` to the verl keys it became, every one of them with its value."""
    keys = overrides(recipe, machine, recipe.model.path)
    told: dict[str, str] = {}
    for ours, theirs in MAPPED.items():
        section, _, name = ours.rpartition(".")
        value = getattr(getattr(recipe, section) if section else recipe, name)
        found = {key: _find(keys, key) for key in theirs}
        told[f"{ours}={_value(value)}"] = ", ".join(f"{key}={_value(item)}" for key, item in found.items())
    return told


def plain_command(recipe: Recipe, machine: Machine, data: Path, recipe_file: Path, changes: Sequence[str] = ()) -> str:
    """The nearest run without medrl's trainer: verl's own episodes and checkpoints, medrl's data and rewards.

    `changes` are the recipe's overrides, which `recipe_file` does not have. Data come first, from `medrl data build
    --prompted`; `tiny` has no folder verl could load, so name one. verl has no linear schedule, does not decay norms
    apart, and leaves control tokens in the distribution: its numbers come near, not equal.
    """
    keys = plain_settings(recipe, machine, data, recipe_file, changes)
    parts = ["python", "-m", "verl.trainer.main_ppo", *(f"++{key}={_value(value)}" for key, value in keys.items())]
    build = ["medrl", "data", "build", str(recipe_file), str(data), *changes, "--prompted"]
    return f"{shlex.join(build)} && {shlex.join(parts)}"


def estimator_fault(estimator: Estimator) -> str:
    """Why these advantages cannot be had under plain verl; empty where they can."""
    more = sorted(estimator.asks_for - {"rewards", "groups"})
    if more:
        why = f"needs {', '.join(more)}, and plain verl's trainer gives an estimator the summed rewards and the groups alone"
    elif estimator.name not in BUILT_IN:
        why = "is a file of yours, which plain verl does not load"
    elif estimator.kwargs:
        why = f"plain verl's trainer does not hand on algorithm.kwargs={estimator.kwargs}"
    else:
        return ""
    return f"algorithm.advantage={estimator.name}: {why}; use grpo there."


def plain_settings(
    recipe: Recipe, machine: Machine, data: Path, recipe_file: Path, changes: Sequence[str] = ()
) -> dict[str, Any]:
    """verl's keys and values for the nearest run without medrl's trainer."""
    keys = {key: value for key, value in overrides(recipe, machine, recipe.model.path).items() if key not in ONLY_OURS}
    schedule = recipe.optimizer.schedule
    return keys | {
        "algorithm.adv_estimator": "grpo",
        "algorithm.norm_adv_by_std_in_grpo": recipe.algorithm.advantage != "dr_grpo",
        "actor_rollout_ref.actor.optim.lr_scheduler_type": "cosine" if schedule == "cosine" else "constant",
        "data.train_files": str(data / "train.parquet"),
        "data.val_files": str(data / "val.parquet"),
        "data.shuffle": recipe.data.shuffle,
        "reward.custom_reward_function.path": str(Path(__file__).with_name("plain_reward.py")),
        "reward.custom_reward_function.name": "compute_score",
        "reward.custom_reward_function.reward_kwargs": {"recipe": str(recipe_file), "changes": list(changes)},
        "reward.num_workers": 1,
        "trainer.logger": ["console"],
        "trainer.test_freq": recipe.val.every,
        "trainer.save_freq": recipe.checkpoint.every,
        "trainer.default_local_dir": str(recipe.run_dir / "plain_verl"),
    }


def _find(keys: dict[str, Any], wanted: str) -> Any:
    """A key's value, also where it was set as part of a mapping above it."""
    if wanted in keys:
        return keys[wanted]
    above, _, name = wanted.rpartition(".")
    inside = keys.get(above)
    return inside.get(name) if isinstance(inside, dict) else None


def _value(value: Any) -> str:
    """In the grammar of hydra's command line, which verl's is."""
    if value is None or isinstance(value, (bool, int)):
        return json.dumps(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_value, value)) + "]"
    text = str(value)
    simple = text and all(letter.isalnum() or letter in "_-./" for letter in text)
    return text if simple else "'" + text.replace("'", "\\'") + "'"
