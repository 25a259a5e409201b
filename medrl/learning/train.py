"""Engine `local`: the whole run in one process. Read `_steps` to see one GRPO step from samples to changed weights.

All randomness is derived from (seed, step, sample, attempt) and all state that a step needs is in the checkpoint, so a run
killed anywhere and resumed leaves the same journal (times aside) and the same weights as one that was not.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from medrl.dialogue.tokens import Prompt
from medrl.errors import MedrlError
from medrl.evaluation.validate import best_constant, mean_scores, validate
from medrl.learning.advantages import ESTIMATORS, zero_spread
from medrl.learning.batches import batch_indices
from medrl.learning.cold_start import cold_start
from medrl.learning.generate import LocalEngine
from medrl.learning.model import Loaded, load_model
from medrl.learning.plan import Plan
from medrl.learning.state import load_optimizer, load_weights, stored_reference, write_state
from medrl.learning.update import Reference, UpdateSettings, learning_rate, make_optimizer, set_learning_rate, update
from medrl.recipe import Recipe
from medrl.record.checkpoint import save_checkpoint
from medrl.record.loggers import ExternalLoggers
from medrl.record.report import write_report
from medrl.record.run import Run
from medrl.rollout.episode import run_group_episodes
from medrl.rollout.seeds import derive_seed
from medrl.rollout.types import Rollout, Sampling
from medrl.scoring.rewards import common_reasons, missing_share, score_rollouts

SHOWN_QUESTIONS, SHOWN_PROMPTS = 48, 8  # held-out questions and training prompts whose pictures are kept for the report


@dataclass
class Local:
    """What a local run holds while it runs."""

    plan: Plan
    run: Run
    observe: Callable[[dict[str, Any]], None]  # sees every journal entry: progress display
    loggers: ExternalLoggers
    model: Loaded
    sampling: Sampling
    val_prompts: list[Prompt] = field(default_factory=list)
    constant: dict[str, Any] = field(default_factory=dict)
    stop_asked: str | None = None

    @property
    def recipe(self) -> Recipe:
        return self.plan.recipe

    def log(self, entry: dict[str, Any]) -> None:
        self.run.log(entry)
        self.loggers.log(entry)
        self.observe(entry)


def train(plan: Plan, run: Run, observe: Callable[[dict[str, Any]], None] = lambda entry: None) -> dict[str, Any]:
    """Run or resume the plan's recipe in `run`; returns summary.json. Always leaves a summary, also when it raises."""
    recipe = plan.recipe
    started, status, reason = time.perf_counter(), "failed", None
    done = 0
    try:
        if recipe.engine.threads:
            torch.set_num_threads(recipe.engine.threads)
        torch.manual_seed(recipe.seed)
        model = load_model(recipe.model, recipe.engine, recipe.seed, run.folder / "base_model")
        sampling = Sampling(recipe.sampling.temperature, recipe.sampling.max_new_tokens, recipe.seed)
        loggers = ExternalLoggers(recipe, run.folder)
        state = Local(plan, run, observe, loggers, model, sampling)
        with _stop_on_signal(state):
            for steps_done in _steps(state):
                done = steps_done
        status, reason = ("stopped", state.stop_asked) if done < recipe.training.steps else ("completed", None)
        loggers.close()
    except BaseException as error:
        reason = str(error) if isinstance(error, MedrlError) else f"{type(error).__name__}: {error}"
        raise
    finally:
        summary = run.write_summary(
            status=status,
            reason=reason,
            engine="local",
            steps=done,
            seconds=time.perf_counter() - started,
            val_first=run.read_eval(0),
            val_last=run.last_eval(),
        )
        write_report(run.folder)
    return summary


def _steps(state: Local) -> Iterator[int]:
    """Yield the number of GRPO steps done: first after the cold start, then after every step."""
    recipe = state.recipe
    policy = state.model.policy
    engine = LocalEngine(policy, recipe.engine.rows_at_once)
    settings = UpdateSettings.of(recipe)
    first, optimizer, reference = _start(state, engine, settings)
    saved = first
    yield first

    for step in range(first, recipe.training.steps):
        if state.stop_asked:
            if saved < step:
                _save(state, optimizer, step)
            return
        clock = _Clock()
        torch.manual_seed(derive_seed(recipe.seed, "grpo", step))  # dropout
        prompts, lost = _prompts(state, step)
        clock.lap("build")
        rollouts = run_group_episodes(
            engine, state.plan.builder, prompts, recipe.algorithm.group_size, state.sampling, "grpo", step
        )
        clock.lap("generate")
        score_rollouts(rollouts, state.plan.rewards)
        metrics = {"data/lost_samples": lost, **_give_advantages(recipe, rollouts, step)}
        clock.lap("score")
        rate = learning_rate(recipe.optimizer, step, recipe.training.steps)
        set_learning_rate(optimizer, rate)
        metrics |= update(policy, optimizer, rollouts, settings, reference)
        metrics["optimizer/lr"] = rate
        clock.lap("update")

        done = step + 1
        last = done == recipe.training.steps
        if done % recipe.val.every == 0 or last:
            metrics |= _validate(state, engine, done)
            state.run.keep_images(prompts[:SHOWN_PROMPTS], state.plan.builder.root)
        clock.lap("validate")
        state.run.write_rollouts(done, rollouts)
        state.log({"stage": "grpo", "step": done, **metrics, **clock.laps()})
        if done % recipe.checkpoint.every == 0 or last:
            _save(state, optimizer, done)
            saved = done
        yield done


def _start(
    state: Local, engine: LocalEngine, settings: UpdateSettings
) -> tuple[int, torch.optim.Optimizer, Reference | None]:
    """Resume from the newest checkpoint, or make the cold start and the first validation; (steps done, optimizer, reference)."""
    recipe, run, policy = state.recipe, state.run, state.model.policy
    found = run.rewind()
    state.val_prompts = [state.plan.builder.build(sample) for sample in state.plan.val.samples]
    state.constant = best_constant(state.val_prompts, state.plan.builder, state.plan.rewards)
    if found:
        load_weights(policy.model, found / "model")
    elif recipe.sft.steps and state.plan.demonstrations:
        samples = state.plan.demonstrations.samples
        cold_start(policy, state.plan.builder, samples, recipe.sft, recipe.seed, state.log, settings.share_prompts)
    reference = None
    if recipe.algorithm.kl_coef > 0:
        reference = stored_reference(policy, state.model.processor, run.folder / "reference")
    optimizer = make_optimizer(policy, recipe.optimizer)
    if found:
        return load_optimizer(optimizer, found), optimizer, reference
    state.log({"stage": "grpo", "step": 0, **_validate(state, engine, 0)})
    run.keep_images(state.val_prompts[:SHOWN_QUESTIONS], state.plan.builder.root)
    _save(state, optimizer, 0)
    return 0, optimizer, reference


def _give_advantages(recipe: Recipe, rollouts: list[Rollout], step: int) -> dict[str, float]:
    """Fill `advantage` of every scored rollout; returns `reward/…`, `group/…` and `rollout/…` metrics.

    Raises MedrlError, with the commonest reasons, when too many rollouts have no score.
    """
    if (share := missing_share(rollouts)) > recipe.scoring.max_missing:
        raise MedrlError(
            f"step {step + 1}: {share:.0%} of the rollouts have no score; scoring.max_missing={recipe.scoring.max_missing}. "
            f"The most common reasons:\n{common_reasons(rollouts)}\nMend the reward (`rewards:` in the recipe) and run again; "
            "the run resumes from its last checkpoint."
        )
    scored = [rollout for rollout in rollouts if rollout.reward is not None]
    if not scored:
        return _rollout_metrics(rollouts)
    number: dict[int, int] = {}
    groups = torch.tensor([number.setdefault(id(rollout.prompt), len(number)) for rollout in scored])
    totals = torch.tensor([rollout.reward for rollout in scored], dtype=torch.float32)
    for rollout, advantage in zip(scored, ESTIMATORS[recipe.algorithm.advantage](totals, groups).tolist()):
        rollout.advantage = advantage
    return {
        "reward/mean": totals.mean().item(),
        "reward/std": totals.std().item() if len(totals) > 1 else 0.0,
        "group/zero_spread": zero_spread(totals, groups),
        **_rollout_metrics(rollouts),
    }


def _prompts(state: Local, step: int) -> tuple[list[Prompt], int]:
    """(prompts of a step, samples lost): one that cannot be built any more, its file gone in mid-run, is left out and counted."""
    samples = state.plan.train.samples
    size = state.recipe.training.prompts_per_step
    prompts, faults = [], []
    for index in batch_indices(len(samples), step, size, state.recipe.seed, state.recipe.data.shuffle):
        try:
            prompts.append(state.plan.builder.build(samples[index]))
        except MedrlError as error:
            faults.append(str(error))
    if not prompts:
        raise MedrlError(f"not one sample of this step could be built. The first fault: {faults[0]}")
    return prompts, len(faults)


def _validate(state: Local, engine: LocalEngine, step: int) -> dict[str, float]:
    """Validate and keep the result in eval/; returns it as `val/…` metrics."""
    summary, rollouts = validate(
        engine, state.plan.builder, state.plan.rewards, state.val_prompts, state.recipe.val.attempts, state.sampling
    )
    constant = {"constant_answer": "reward", "constant_answer_low": "low", "constant_answer_high": "high"}
    summary["metrics"] |= {name: state.constant[key] for name, key in constant.items()}
    state.run.write_eval(step, summary, rollouts)
    flat = {
        "val/reward": summary["reward"],
        "val/reward_low": summary["low"],
        "val/reward_high": summary["high"],
        **{f"val/{name}": value for name, value in summary["metrics"].items()},
    }
    return flat if summary["parse_rate"] is None else {**flat, "val/parse_rate": summary["parse_rate"]}


def _save(state: Local, optimizer: torch.optim.Optimizer, step: int) -> None:
    def write(folder: Path) -> None:
        write_state(folder, state.model.policy, state.model.processor, optimizer, step)

    save_checkpoint(state.run.checkpoints, step, write, state.recipe.checkpoint.keep)


def _rollout_metrics(rollouts: list[Rollout]) -> dict[str, float]:
    lengths = [len(rollout.token_ids) for rollout in rollouts]
    return {
        "reward/missing": missing_share(rollouts),
        **mean_scores(rollouts),
        "rollout/length": sum(lengths) / len(lengths),
        "rollout/length_max": float(max(lengths)),
        "rollout/truncated": sum(rollout.end_reason == "length" for rollout in rollouts) / len(rollouts),
    }


class _Clock:
    """Seconds of each part of a step."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[f"time/{name}_s"] = now - self._last
        self._last = now

    def laps(self) -> dict[str, float]:
        return {**self._laps, "time/step_s": time.perf_counter() - self._started}


@contextmanager
def _stop_on_signal(state: Local) -> Iterator[None]:
    """SIGTERM or Ctrl-C: finish the step, save, write the summary. A second one ends at once."""

    def ask(number: int, frame: object) -> None:
        if state.stop_asked:
            raise KeyboardInterrupt
        state.stop_asked = (
            f"{signal.Signals(number).name} after the step that was running; resume with the same command"
        )

    if threading.current_thread() is not threading.main_thread():  # whoever runs us there handles signals
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
