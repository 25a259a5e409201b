"""Seconds per GRPO step: engine `local` against TRL's GRPOTrainer, one process, one thread, steps taken in turn.

Both start from the same cold-started tiny model on disk and see the same questions in the same order; each makes its own
replies. TRL runs its real `train()` loop: a callback takes one of our steps before each of its own, so whatever else the
machine does meets both alike. All that is not ours counts as TRL's, data loading included, as it does on our side.

    python benchmarks/local_vs_trl.py [--steps 10] [--save FILE]
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

# before torch is imported: one thread on both sides, and no tokenizer pool beside it
os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}

import torch
from datasets import Dataset, Image, List, disable_progress_bars
from rich.console import Console
from rich.table import Table
from tiny_model import PIXELS, make_model, prompt_builder
from transformers import PrinterCallback, TrainerCallback
from transformers.utils import logging as transformers_logging
from trl import GRPOConfig, GRPOTrainer

from medrl.data.source import load
from medrl.dialogue.prompts import load_style
from medrl.learning.advantages.grpo import grpo
from medrl.learning.generate import LocalEngine
from medrl.learning.model import load_model
from medrl.learning.update import UpdateSettings, make_optimizer, update
from medrl.recipe import Algorithm, Engine, Model, Optimizer, Reward
from medrl.rollout.episode import run_group_episodes
from medrl.rollout.types import Sampling
from medrl.scoring.loaded import load_rewards
from medrl.scoring.rewards import score_rollouts
from medrl.vision.open import open_image

PARTS = ("generate", "score", "update", "rest")
REWARDS = {"answer": Reward("rewards/count.py"), "format": Reward("rewards/format.py", weight=0.1)}
LR, MAX_GRAD_NORM, TEMPERATURE = 2e-4, 1.0, 1.0


def main():
    given = arguments()
    torch.set_num_threads(1)
    disable_progress_bars()
    transformers_logging.set_verbosity_error()
    console = Console(width=100)
    with tempfile.TemporaryDirectory() as scratch, console.status("cold start") as status:
        folder = Path(scratch) / "model"
        make_model(folder, given.sft_steps, given.seed)
        # the last of TRL's steps has no data loading after it and is not counted
        total = given.warmup + given.steps + 1
        samples = load("phantom", None, "train", {"task": "count", "n": total * given.prompts}).samples
        ours = our_steps(folder, samples, given)
        clock = TakeTurns(ours, lambda done: status.update(f"step {done} of {total} on each side"))
        trainer = their_trainer(folder, samples, total, Path(scratch), given, clock)
        trainer.train()
    pairs = list(zip(clock.ours, clock.theirs))[given.warmup :]
    report(console, pairs, given, trainer)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10, help="counted steps on each side")
    parser.add_argument("--warmup", type=int, default=2, help="first steps left out")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--attempts", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=48)
    parser.add_argument("--sft-steps", type=int, default=80, help="cold start, so that replies end by themselves")
    parser.add_argument("--their-batch", type=int, default=None, help="rows TRL trains at once (default: all)")
    parser.add_argument("--their-attention", default="sdpa", help="attention implementation of TRL's model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="also write the JSON result here")
    return parser.parse_args()


def our_steps(folder, samples, given):
    """Yield (seconds of each part, mean reply length, mean reward) of each step: what medrl/learning/train.py does."""
    loaded = load_model(Model(path=str(folder), **PIXELS), Engine(device="cpu"), given.seed, folder)
    builder, rewards = prompt_builder(str(folder)), load_rewards(REWARDS)
    engine, optimizer = LocalEngine(loaded.policy), make_optimizer(loaded.policy, Optimizer(lr=LR))
    settings = UpdateSettings(
        algorithm=Algorithm(group_size=given.attempts), temperature=TEMPERATURE, max_new_tokens=given.new_tokens,
        minibatches=1, micro_batch_size=256, max_grad_norm=MAX_GRAD_NORM, share_prompts=True,
    )  # fmt: skip
    sampling = Sampling(TEMPERATURE, given.new_tokens, given.seed)
    groups = torch.arange(given.prompts).repeat_interleave(given.attempts)
    for step, start in enumerate(range(0, len(samples), given.prompts)):
        times = [time.perf_counter()]
        prompts = [builder.build(sample) for sample in samples[start : start + given.prompts]]
        times.append(time.perf_counter())
        rollouts = run_group_episodes(engine, builder, prompts, given.attempts, sampling, "grpo", step)
        times.append(time.perf_counter())
        score_rollouts(rollouts, rewards)
        totals = torch.tensor([rollout.reward for rollout in rollouts])
        for rollout, advantage in zip(rollouts, grpo(totals, groups).tolist()):
            rollout.advantage = advantage
        times.append(time.perf_counter())
        update(loaded.policy, optimizer, rollouts, settings)
        times.append(time.perf_counter())
        build, generate, score, learn = (after - before for before, after in itertools.pairwise(times))
        length = statistics.mean(len(rollout.token_ids) for rollout in rollouts)
        yield {"generate": generate, "score": score, "update": learn, "rest": build}, length, totals.mean().item()


class TakeTurns(TrainerCallback):
    """Before each of TRL's steps one of ours; measures both. TRL's methods report their seconds to `spent`."""

    def __init__(self, ours, tell):
        self.steps, self.tell = ours, tell
        self.ours, self.theirs = [], []
        self.spent, self.trainer, self.started = dict.fromkeys(PARTS, 0.0), None, None

    def on_step_begin(self, args, state, control, **everything):
        if self.started:
            self._finish_theirs()
        self.tell(state.global_step)
        wall, cpu = time.perf_counter(), time.process_time()
        parts, length, reward = next(self.steps)
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        parts["rest"] += seconds - sum(parts.values())
        self.ours.append({**parts, "step": seconds, "cpu": cpu_seconds, "length": length, "reward": reward})
        self.spent = dict.fromkeys(PARTS, 0.0)
        self.started = time.perf_counter(), time.process_time()

    def on_step_end(self, args, state, control, **everything):
        # from the end of backward to here: clipping and the optimizer
        self.spent["update"] += time.perf_counter() - self.after_backward

    def _finish_theirs(self):
        seconds, cpu_seconds = time.perf_counter() - self.started[0], time.process_time() - self.started[1]
        metrics = {name: values[-1] for name, values in self.trainer._metrics["train"].items()}
        self.spent["rest"] = seconds - sum(self.spent[part] for part in PARTS if part != "rest")
        seen = {"length": metrics["completions/mean_length"], "reward": metrics["reward"]}
        self.theirs.append({**self.spent, "step": seconds, "cpu": cpu_seconds, **seen})


def their_trainer(folder, samples, steps, scratch, given, clock):
    """TRL's trainer with what suits a CPU: no logging, no checkpointing of activations, float32, no worker processes."""
    rows = given.prompts * given.attempts
    batch = given.their_batch or rows
    style, rewards = load_style("think"), load_rewards(REWARDS)
    columns = {
        # TRL puts the picture in front of the text itself
        "prompt": [
            [{"role": "user", "content": style.messages(sample)[-1]["content"].removeprefix("<image>")}]
            for sample in samples
        ],
        "images": [[open_image(sample.images[0], None)] for sample in samples],
        "number": list(range(len(samples))),
    }
    data = Dataset.from_dict(columns).cast_column("images", List(Image()))

    def of(reward):
        def compute(completions, number, **others):
            scored = (
                reward.plugin.target(
                    data_source=samples[index].data_source, solution_str=completion[0]["content"],
                    ground_truth=samples[index].ground_truth, extra_info=samples[index].extra_info,
                )
                for completion, index in zip(completions, number)
            )  # fmt: skip
            return [entry["score"] if isinstance(entry, dict) else entry for entry in scored]

        compute.__name__ = reward.name
        return compute

    config = GRPOConfig(
        output_dir=str(scratch / "trl"), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none",
        logging_strategy="no", save_strategy="no", disable_tqdm=True, dataloader_num_workers=0,
        dataloader_pin_memory=False, shuffle_dataset=False, seed=given.seed, max_steps=steps,
        per_device_train_batch_size=batch, gradient_accumulation_steps=rows // batch, num_generations=given.attempts,
        max_completion_length=given.new_tokens, temperature=TEMPERATURE, loss_type="grpo", scale_rewards="group", beta=0.0,
        reward_weights=[reward.weight for reward in rewards], learning_rate=LR, lr_scheduler_type="constant",
        weight_decay=0.0, max_grad_norm=MAX_GRAD_NORM, model_init_kwargs={"attn_implementation": given.their_attention},
    )  # fmt: skip
    functions = [of(reward) for reward in rewards]
    trainer = GRPOTrainer(str(folder), functions, config, data, callbacks=[clock])
    trainer.remove_callback(PrinterCallback)
    clock.trainer = trainer
    time_methods(trainer, clock)
    return trainer


def time_methods(trainer, clock):
    """Let TRL's own methods report their seconds: generation, rewards, and a training step less its rollouts."""

    def timed(name, record):
        method = getattr(trainer, name)

        def run(*positional, **named):
            before = time.perf_counter()
            result = method(*positional, **named)
            record(time.perf_counter() - before)
            return result

        setattr(trainer, name, run)

    def add(part, sign=1):
        def record(seconds):
            clock.spent[part] += sign * seconds

        return record

    def after_training_step(seconds):
        clock.spent["update"] += seconds
        clock.after_backward = time.perf_counter()

    timed("_generate_single_turn", add("generate"))
    timed("_calculate_rewards", add("score"))
    timed("_prepare_inputs", add("update", -1))
    timed("training_step", after_training_step)


def report(console, pairs, given, trainer):
    """The table, then the JSON line."""
    sides = {"medrl": [ours for ours, _ in pairs], "trl": [theirs for _, theirs in pairs]}

    def median(side, name):
        return statistics.median(entry[name] for entry in sides[side])

    def spread(side, name):
        values = [entry[name] for entry in sides[side]]
        return f"{statistics.median(values):.3f}  ({min(values):.3f} - {max(values):.3f})"

    table = Table(title=f"seconds per GRPO step, median (least - most) of {len(pairs)}")
    for heading in ("", "medrl local", "TRL", "ratio"):
        table.add_column(heading, justify="right" if heading else "left")
    for name in ("step", *PARTS, "cpu"):
        label = "cpu seconds" if name == "cpu" else name
        ratio = median("medrl", name) / median("trl", name)
        table.add_row(label, spread("medrl", name), spread("trl", name), f"{ratio:.3f}", end_section=name == "rest")
    for name, label in (("length", "mean reply tokens"), ("reward", "mean reward")):
        table.add_row(label, *(f"{statistics.mean(entry[name] for entry in side):.2f}" for side in sides.values()), "")
    console.print(table)
    ratios = [ours["step"] / theirs["step"] for ours, theirs in pairs]
    console.print("ratio of each pair: " + " ".join(f"{ratio:.3f}" for ratio in ratios))
    result = {
        "benchmark": "local_vs_trl",
        "ratio": round(statistics.median(ratios), 4),
        "ratio_range": [round(min(ratios), 4), round(max(ratios), 4)],
        "ratio_cpu": round(statistics.median(ours["cpu"] / theirs["cpu"] for ours, theirs in pairs), 4),
        **{
            side: {name: round(median(side, name), 4) for name in ("step", *PARTS, "cpu", "length", "reward")}
            for side in sides
        },
        "versions": {name: importlib.metadata.version(name) for name in ("medrl", "trl", "transformers", "torch")},
        "threads": torch.get_num_threads(),
        "settings": {
            "steps": given.steps, "warmup": given.warmup, "prompts": given.prompts, "attempts": given.attempts,
            "new_tokens": given.new_tokens, "sft_steps": given.sft_steps, "temperature": TEMPERATURE, "beta": 0.0,
            "lr": LR, "max_grad_norm": MAX_GRAD_NORM, "seed": given.seed,
            "trl_batch": trainer.args.per_device_train_batch_size, "trl_attention": given.their_attention,
        },
    }  # fmt: skip
    line = json.dumps(result)
    if given.save:
        given.save.write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
