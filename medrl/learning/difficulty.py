"""Measure how often a model is right on each sample: k attempts at the recipe's temperature, graded by its rewards.

Samples are asked in fixed portions, each appended to the file when it is done. A measuring that was stopped goes on after
its last whole portion, and its file is then that of an unbroken one, byte for byte.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from medrl.data.sample import Sample
from medrl.errors import MedrlError
from medrl.learning.generate import LocalEngine
from medrl.learning.model import load_config, load_model
from medrl.learning.pass_rates import HEADER, read_lines, shared_ids
from medrl.learning.plan import Plan
from medrl.learning.state import load_weights
from medrl.recipe import Curriculum, Recipe
from medrl.record.files import sha256_of, write_text
from medrl.rollout.episode import run_group_episodes
from medrl.rollout.types import Rollout, Sampling
from medrl.scoring.accuracy import accuracy_for, judge_of
from medrl.scoring.loaded import LoadedReward
from medrl.scoring.rewards import common_reasons, score_rollouts
from medrl.scoring.workers.service import Service, open_service

RIGHT = 0.5  # an attempt is right whose accuracy is above this
Progress = Callable[[str, int, int], None]


def to_measure(recipe: Recipe) -> Recipe:
    """The recipe without what only training needs: its curriculum, cold start and cluster, and enough data for a batch."""
    return replace(
        recipe,
        training=replace(recipe.training, prompts_per_step=1, minibatches=1),
        curriculum=Curriculum(),
        sft=replace(recipe.sft, steps=0),
        engine=replace(recipe.engine, name="local"),
        data=replace(recipe.data, max_shortcut=None),
    )


def measure(
    plan: Plan,
    out: Path,
    *,
    split: str = "train",
    attempts: int = 16,
    weights: Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> list[dict[str, Any]]:
    """Fill `out`, or go on filling it; a row a sample. `plan`: of a recipe from `to_measure`. `weights`: the model folder of
    a checkpoint, loaded over the recipe's model.

    MedrlError where `out` was made with something else, where no reward judges a sample, and where too few could be graded.
    """
    data = {"train": plan.train, "val": plan.val}[split]
    samples = list({sample.id: sample for sample in data.samples}.values())
    _refuse_unmeasurable(plan.recipe, data.samples)
    header = made_with(plan, data.sha256, len(samples), split, attempts, weights)
    portion = max(1, plan.recipe.engine.rows_at_once // attempts)
    rows = resumed(out, header, portion)
    progress("measuring", len(rows), len(samples))
    if len(rows) == len(samples):
        return rows
    recipe = plan.recipe
    if recipe.engine.threads:
        torch.set_num_threads(recipe.engine.threads)
    with tempfile.TemporaryDirectory() as base:  # of a tiny model under LoRA
        model = load_model(recipe.model, recipe.engine, recipe.seed, Path(base))
    if weights is not None:
        load_weights(model.policy.model, weights)
    engine = LocalEngine(model.policy, recipe.engine.rows_at_once)
    judges = {judge_of(recipe, sample) for sample in samples}
    # the others cost time, and a judge model money, and change nothing
    rewards = [replace(one, gate=None) for one in plan.rewards if one.name in judges]
    with open_service(recipe.scoring, rewards) as pool, out.open("a", encoding="utf-8") as file:
        while len(rows) < len(samples):
            made = _portion(plan, engine, samples[len(rows) : len(rows) + portion], attempts, rewards, pool)
            file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made))
            file.flush()
            os.fsync(file.fileno())
            rows += made
            progress("measuring", len(rows), len(samples))
    return rows


def made_with(
    plan: Plan, data_sha256: str, samples: int, split: str, attempts: int, weights: Path | None
) -> dict[str, Any]:
    """The header: all that the rates depend on. Weights in a folder by their hash, those of a hub by its commit."""
    recipe = plan.recipe
    folder = weights or Path(recipe.model.path)
    parts: dict[str, Any] = {name: asdict(getattr(recipe, name)) for name in ("model", "prompt", "env", "sampling")}
    parts |= {"rewards": {name: asdict(reward) for name, reward in recipe.rewards.items()}}
    parts |= {"accuracy": recipe.scoring.accuracy}
    return {
        HEADER: "pass rates",
        "model": recipe.model.path,
        "weights": str(weights) if weights else None,
        "weights_sha256": _weights_sha256(folder) if folder.is_dir() else None,
        "model_commit": None if folder.is_dir() else getattr(load_config(recipe.model.path), "_commit_hash", None),
        "split": split,
        "samples": samples,
        "attempts": attempts,
        "temperature": recipe.sampling.temperature,
        "seed": recipe.seed,
        "data_sha256": data_sha256,
        "prompt_template_sha256": plan.style.sha256,
        "reward_sha256": {reward.name: reward.plugin.sha256 for reward in plan.rewards},
        "env_sha256": plan.interaction.sha256 if plan.interaction else None,
        "recipe_sha256": hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest(),
    }


def resumed(out: Path, header: dict[str, Any], portion: int) -> list[dict[str, Any]]:
    """The rows that are whole portions; `out` is cut back to them, or begun. MedrlError where its header is another one."""
    text = json.dumps(header, ensure_ascii=False) + "\n"
    before: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    if out.exists() and out.stat().st_size:
        before, rows = read_lines(out, cut_off=True)
        if not before and (rows or not text.startswith(out.read_text(encoding="utf-8"))):
            raise MedrlError(
                f"{out} is not a file of `medrl data difficulty`; nothing is overwritten. Give another --out."
            )
    # through JSON, as the file has been
    changed = [key for key, value in json.loads(text).items() if before and before.get(key) != value]
    if changed:
        listed = "; ".join(f"{key}: {before.get(key)} -> {header[key]}" for key in changed)
        raise MedrlError(f"{out} was measured with something else ({listed}). Give another --out, or remove it.")
    if len(rows) < header["samples"]:
        rows = rows[: len(rows) // portion * portion]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, text + "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return rows


def _portion(
    plan: Plan,
    engine: LocalEngine,
    samples: Sequence[Sample],
    attempts: int,
    rewards: Sequence[LoadedReward],
    pool: Service | None,
) -> list[dict[str, Any]]:
    recipe = plan.recipe
    sampling = Sampling(recipe.sampling.temperature, recipe.sampling.max_new_tokens, recipe.seed)
    rollouts = run_group_episodes(
        engine, plan.builder, [plan.builder.build(sample) for sample in samples], attempts, sampling, "difficulty",
        interaction=plan.interaction,
    )  # fmt: skip
    score_rollouts(rollouts, rewards, pool)
    missing = sum(accuracy_for(recipe, one) is None for one in rollouts) / len(rollouts)
    if missing > recipe.scoring.max_missing:
        raise MedrlError(
            f"{missing:.0%} of the attempts at {samples[0].id} and the next {len(samples) - 1} samples could not be graded; "
            f"scoring.max_missing={recipe.scoring.max_missing}. The most common reasons:\n{common_reasons(rollouts)}\n"
            "Mend the reward and run the same command again; what was measured before is kept."
        )
    return [row_of(recipe, rollouts[start : start + attempts]) for start in range(0, len(rollouts), attempts)]


def row_of(recipe: Recipe, attempts: Sequence[Rollout]) -> dict[str, Any]:
    """The line of one sample from its scored attempts. Rates are over the attempts that could be graded, null without any."""
    graded = [value for one in attempts if (value := accuracy_for(recipe, one)) is not None]
    right = sum(value > RIGHT for value in graded)
    return {
        "sample_id": attempts[0].prompt.sample.id,
        "attempts": len(attempts),
        "right": right,
        "pass_rate": right / len(graded) if graded else None,
        "mean_accuracy": sum(graded) / len(graded) if graded else None,
        "missing": len(attempts) - len(graded),
        "mean_tokens": sum(sum(one.mask) for one in attempts) / len(attempts),
    }


def _refuse_unmeasurable(recipe: Recipe, samples: list[Sample]) -> None:
    problems = shared_ids(samples)
    if unjudged := [sample for sample in samples if judge_of(recipe, sample) is None]:
        kinds = ", ".join(sorted({str(sample.kind) for sample in unjudged}))
        problems.append(
            f"no reward says whether an answer of kind {kinds} is right ({len(unjudged)} samples, such as {unjudged[0].id}). "
            "Add one that names this kind (kinds), or leave these samples out with data.kinds."
        )
    if problems:
        raise MedrlError("\n".join(problems))


def _weights_sha256(folder: Path) -> str:
    """Over the files that hold weights, an adapter's included."""
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")])
    return hashlib.sha256("".join(sha256_of(file) for file in files).encode()).hexdigest()
