"""Seconds per GRPO step of engine `local`: advantages by uadt, which needs entropies of before the update, against grpo.

Both start from the same cold-started tiny model and see the same questions in the same order, in one process with one
thread, steps taken in turn (A B A B); the order within a pair changes from pair to pair. With lambda 0, the default here,
both take the very same steps, so replies are equally long and the ratio is the price of looking first and nothing else.

    python benchmarks/uadt_cost.py [--steps 10] [--minibatches 1] [--save FILE]
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

# before torch is imported: one thread, and no tokenizer pool beside it
os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}

import torch
from rich.console import Console
from rich.table import Table
from tiny_model import PIXELS, make_model, prompt_builder

from medrl.data.source import load
from medrl.learning.estimator import load_estimator
from medrl.learning.generate import LocalEngine
from medrl.learning.model import load_model
from medrl.learning.step import give_advantages
from medrl.learning.update import UpdateSettings, make_optimizer, measure, update
from medrl.recipe import recipe_from
from medrl.rollout.episode import run_group_episodes
from medrl.rollout.types import Sampling
from medrl.scoring.loaded import load_rewards
from medrl.scoring.rewards import score_rollouts

PARTS = ("generate", "score", "measure", "update")


def main():
    given = arguments()
    torch.set_num_threads(1)
    console = Console(width=100)
    seconds = {"grpo": [], "uadt": []}
    with tempfile.TemporaryDirectory() as scratch, console.status("cold start") as status:
        folder = Path(scratch) / "model"
        make_model(folder, given.sft_steps, given.seed)
        total = given.warmup + given.steps
        samples = load("phantom", None, "train", {"task": "count", "n": total * given.prompts}).samples
        sides = {name: steps_of(name, folder, samples, given) for name in seconds}
        for step in range(total):
            status.update(f"step {step + 1} of {total} on each side")
            for name in ("grpo", "uadt") if step % 2 else ("uadt", "grpo"):
                seconds[name].append(next(sides[name]))
    report(console, {name: taken[given.warmup :] for name, taken in seconds.items()}, given)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10, help="counted steps on each side")
    parser.add_argument("--warmup", type=int, default=2, help="first steps left out")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--attempts", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=48)
    parser.add_argument("--minibatches", type=int, default=1, help="with more, grpo looks first too")
    parser.add_argument("--lambda", type=float, default=0.0, dest="lambda_", help="of uadt")
    parser.add_argument("--sft-steps", type=int, default=80, help="cold start, so that replies end by themselves")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="also write the JSON result here")
    return parser.parse_args()


def steps_of(advantage, folder, samples, given):
    """Yield the seconds of each step's parts: what medrl/learning/train.py does between two journal entries."""
    kwargs = {"lambda": given.lambda_} if advantage == "uadt" else {}
    recipe = recipe_from(
        {
            "model": {"path": str(folder), **PIXELS},
            "data": {"adapter": "phantom", "train": "train", "val": "val"},
            "rewards": {"answer": {"use": "rewards/count.py"}, "format": {"use": "rewards/format.py", "weight": 0.1}},
            "algorithm": {"advantage": advantage, "kwargs": kwargs, "group_size": given.attempts},
            "sampling": {"max_new_tokens": given.new_tokens}, "optimizer": {"lr": 2e-4},
            "training": {
                "steps": given.steps, "prompts_per_step": given.prompts, "minibatches": given.minibatches,
                "micro_batch_size": 256,
            },
            "engine": {"threads": 1, "device": "cpu"}, "seed": given.seed,
        },
        "uadt_cost", advantage,
    )  # fmt: skip
    policy = load_model(recipe.model, recipe.engine, recipe.seed, folder).policy
    builder, rewards, estimator = (
        prompt_builder(str(folder)),
        load_rewards(recipe.rewards),
        load_estimator(recipe.algorithm),
    )
    engine, optimizer, settings = (
        LocalEngine(policy),
        make_optimizer(policy, recipe.optimizer),
        UpdateSettings.of(recipe),
    )
    looks_first = given.minibatches > 1 or "entropies" in estimator.asks_for
    sampling = Sampling(recipe.sampling.temperature, given.new_tokens, given.seed)
    for step, start in enumerate(range(0, len(samples), given.prompts)):
        cpu, times = time.process_time(), [time.perf_counter()]
        prompts = [builder.build(sample) for sample in samples[start : start + given.prompts]]
        rollouts = run_group_episodes(engine, builder, prompts, given.attempts, sampling, "grpo", step)
        times.append(time.perf_counter())
        score_rollouts(rollouts, rewards)
        times.append(time.perf_counter())
        old = measure(policy, rollouts, settings) if looks_first else None
        times.append(time.perf_counter())
        give_advantages(recipe, rollouts, step, estimator)
        update(policy, optimizer, rollouts, settings, None, old)
        times.append(time.perf_counter())
        parts = dict(zip(PARTS, (after - before for before, after in itertools.pairwise(times))))
        length = statistics.mean(len(rollout.token_ids) for rollout in rollouts)
        yield {**parts, "step": times[-1] - times[0], "cpu": time.process_time() - cpu, "length": length}


def report(console, sides, given):
    """The table, then the JSON line."""
    table = Table(title=f"seconds per GRPO step, median (least - most) of {given.steps}")
    for heading in ("", "uadt", "grpo", "ratio"):
        table.add_column(heading, justify="right" if heading else "left")

    def ratios(name):
        return [ours[name] / theirs[name] for ours, theirs in zip(sides["uadt"], sides["grpo"]) if theirs[name]]

    for name in ("step", *PARTS, "cpu", "length"):
        row = []
        for side in ("uadt", "grpo"):
            values = [entry[name] for entry in sides[side]]
            row.append(f"{statistics.median(values):.3f}  ({min(values):.3f} - {max(values):.3f})")
        label = {"cpu": "cpu seconds", "length": "mean reply tokens"}.get(name, name)
        shown = name != "measure" or given.minibatches > 1
        table.add_row(
            label, *row, f"{statistics.median(ratios(name)):.3f}" if shown else "", end_section=name == "update"
        )
    console.print(table)
    result = {
        "benchmark": "uadt_cost",
        "ratio": round(statistics.median(ratios("step")), 4),
        "ratio_range": [round(min(ratios("step")), 4), round(max(ratios("step")), 4)],
        "ratio_cpu": round(statistics.median(ratios("cpu")), 4),
        **{
            side: {name: round(statistics.median(entry[name] for entry in taken), 4) for name in taken[0]}
            for side, taken in sides.items()
        },
        "versions": {name: importlib.metadata.version(name) for name in ("medrl", "transformers", "torch")},
        "threads": torch.get_num_threads(),
        "settings": {key: value for key, value in vars(given).items() if key != "save"},
    }  # fmt: skip
    line = json.dumps(result)
    if given.save:
        given.save.write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
