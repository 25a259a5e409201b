"""Engine `local`: the whole run in one process. Read `_steps` to see one GRPO step from samples to changed weights.

All randomness is derived from (seed, step, sample, attempt) and all state that a step needs is in the checkpoint, so a run
killed anywhere and resumed leaves the same journal (times aside) and the same weights as one that was not.
"""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from medrl.data.sample import Sample
from medrl.data.source import DataSet
from medrl.dialogue.tokens import Prompt, PromptBuilder
from medrl.errors import MedrlError
from medrl.evaluation.validate import best_constant, validate
from medrl.learning.advantages import ESTIMATORS, zero_spread
from medrl.learning.batches import batch_indices
from medrl.learning.cold_start import cold_start
from medrl.learning.generate import LocalEngine
from medrl.learning.model import Loaded, load_model, save_model
from medrl.learning.update import Reference, UpdateSettings, learning_rate, make_optimizer, set_learning_rate, update
from medrl.recipe import Recipe
from medrl.record.checkpoint import save_checkpoint
from medrl.record.files import write_json
from medrl.record.loggers import ExternalLoggers
from medrl.record.report import write_report
from medrl.record.run import Run
from medrl.rollout.episode import run_group_episodes
from medrl.rollout.seeds import derive_seed
from medrl.rollout.types import Rollout, Sampling
from medrl.scoring.rewards import LoadedReward, common_reasons, missing_share, score_rollouts

SHOWN_QUESTIONS = 48  # held-out questions whose pictures are kept for the report


@dataclass
class Local:
    """What a local run holds while it runs."""

    recipe: Recipe
    run: Run
    builder: PromptBuilder
    rewards: list[LoadedReward]
    train: DataSet
    val: DataSet
    demonstrations: DataSet | None
    observe: Callable[[dict[str, Any]], None]  # sees every journal entry: progress display
    loggers: ExternalLoggers
    model: Loaded
    sampling: Sampling
    val_prompts: list[Prompt] = field(default_factory=list)
    constant: dict[str, Any] = field(default_factory=dict)
    stop_asked: str | None = None

    def log(self, entry: dict[str, Any]) -> None:
        self.run.log(entry)
        self.loggers.log(entry)
        self.observe(entry)


def train(
    recipe: Recipe,
    run: Run,
    *,
    builder: PromptBuilder,
    rewards: list[LoadedReward],
    data: DataSet,
    val: DataSet,
    demonstrations: DataSet | None,
    observe: Callable[[dict[str, Any]], None] = lambda entry: None,
) -> dict[str, Any]:
    """Run or resume the recipe in `run`; returns summary.json. Always leaves a summary, also when it raises."""
    started, status, reason = time.perf_counter(), "failed", None
    done = 0
    try:
        if recipe.engine.threads:
            torch.set_num_threads(recipe.engine.threads)
        torch.manual_seed(recipe.seed)
        model = load_model(recipe.model, recipe.engine, recipe.seed, run.folder / "base_model")
        sampling = Sampling(recipe.sampling.temperature, recipe.sampling.max_new_tokens, recipe.seed)
        loggers = ExternalLoggers(recipe, run.folder)
        state = Local(recipe, run, builder, rewards, data, val, demonstrations, observe, loggers, model, sampling)
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
    recipe, run = state.recipe, state.run
    policy = state.model.policy
    engine = LocalEngine(policy, recipe.engine.rows_at_once)
    settings = UpdateSettings.of(recipe)
    estimator = ESTIMATORS[recipe.algorithm.advantage]
    found = run.rewind()
    state.val_prompts = [state.builder.build(sample) for sample in state.val.samples]
    state.constant = best_constant(state.val_prompts, state.builder, state.rewards)
    first = 0
    if found:
        _load_weights(policy.model, found / "model")
    elif recipe.sft.steps and state.demonstrations:
        cold_start(
            policy,
            state.builder,
            state.demonstrations.samples,
            recipe.sft,
            recipe.seed,
            state.log,
            settings.share_prompts,
        )
    reference = _reference(state) if recipe.algorithm.kl_coef > 0 else None
    optimizer = make_optimizer(policy, recipe.optimizer)
    if found:
        first = json.loads((found / "trainer.json").read_text())["step"]
        optimizer.load_state_dict(torch.load(found / "optimizer.pt", weights_only=True, map_location=policy.device))
    else:
        before = _validate(state, engine, 0)
        state.log({"stage": "grpo", "step": 0, **_flat_validation(before)})
        _save(state, optimizer, 0)
    saved = first
    yield first

    for step in range(first, recipe.training.steps):
        if state.stop_asked:
            if saved < step:
                _save(state, optimizer, step)
            return
        clock = _Clock()
        torch.manual_seed(derive_seed(recipe.seed, "grpo", step))  # dropout
        chosen = batch_indices(
            len(state.train.samples), step, recipe.training.prompts_per_step, recipe.seed, recipe.data.shuffle
        )
        prompts = _build(state, [state.train.samples[index] for index in chosen])
        clock.lap("build")
        rollouts = run_group_episodes(
            engine, state.builder, prompts, recipe.algorithm.group_size, state.sampling, "grpo", step
        )
        clock.lap("generate")
        score_rollouts(rollouts, state.rewards)
        if (share := missing_share(rollouts)) > recipe.scoring.max_missing:
            raise MedrlError(
                f"step {step + 1}: {share:.0%} of the rollouts have no score; scoring.max_missing={recipe.scoring.max_missing}. "
                f"The most common reasons:\n{common_reasons(rollouts)}\nMend the reward (`rewards:` in the recipe) and run again; "
                "the run resumes from its last checkpoint."
            )
        scored = [rollout for rollout in rollouts if rollout.reward is not None]
        place = {id(prompt): number for number, prompt in enumerate(prompts)}
        totals = torch.tensor([rollout.reward for rollout in scored], dtype=torch.float32)
        groups = torch.tensor([place[id(rollout.prompt)] for rollout in scored])
        for rollout, advantage in zip(scored, estimator(totals, groups).tolist()):
            rollout.advantage = advantage
        clock.lap("score")
        rate = learning_rate(recipe.optimizer, step, recipe.training.steps)
        set_learning_rate(optimizer, rate)
        metrics = update(policy, optimizer, rollouts, settings, reference)
        clock.lap("update")

        done = step + 1
        entry = {
            "stage": "grpo",
            "step": done,
            **_rollout_metrics(rollouts, totals, groups),
            **metrics,
            "optimizer/lr": rate,
        }
        last = done == recipe.training.steps
        summary = _validate(state, engine, done) if done % recipe.val.every == 0 or last else None
        if summary:
            entry |= _flat_validation(summary)
            run.keep_images(prompts[:8], state.builder.root)
        clock.lap("validate")
        run.write_rollouts(done, rollouts)
        state.log({**entry, **clock.laps()})
        if done % recipe.checkpoint.every == 0 or last:
            _save(state, optimizer, done)
            saved = done
        yield done


def _build(state: Local, samples: list[Sample]) -> list[Prompt]:
    """Prompts of a step; a sample that cannot be built any more (a file lost in mid-run) is left out, not fatal."""
    prompts, faults = [], []
    for sample in samples:
        try:
            prompts.append(state.builder.build(sample))
        except MedrlError as error:
            faults.append(str(error))
    if not prompts:
        raise MedrlError(f"not one sample of this step could be built. The first fault: {faults[0]}")
    return prompts


def _validate(state: Local, engine: LocalEngine, step: int) -> dict[str, Any]:
    summary, rollouts = validate(
        engine, state.builder, state.rewards, state.val_prompts, state.recipe.val.attempts, state.sampling
    )
    summary["metrics"]["constant_answer"] = state.constant["reward"]
    state.run.write_eval(step, summary, rollouts)
    if step == 0:
        state.run.keep_images(state.val_prompts[:SHOWN_QUESTIONS], state.builder.root)
    return summary


def _reference(state: Local) -> Reference:
    """The weights before the first GRPO step; after a resume they come from step 0's own copy."""
    policy, folder = state.model.policy, state.run.folder / "reference"
    current = {name: value.detach().clone() for name, value in policy.model.state_dict().items()}
    if not (folder / "done").exists():
        save_model(policy, state.model.processor, folder)
        (folder / "done").touch()
        return Reference(policy)
    _load_weights(policy.model, folder)
    reference = Reference(policy)
    policy.model.load_state_dict(current)
    return reference


def _save(state: Local, optimizer: torch.optim.Optimizer, step: int) -> None:
    def write(folder: Path) -> None:
        save_model(state.model.policy, state.model.processor, folder / "model")
        torch.save(optimizer.state_dict(), folder / "optimizer.pt")
        write_json(folder / "trainer.json", {"step": step, "seed": state.recipe.seed})

    save_checkpoint(state.run.checkpoints, step, write, state.recipe.checkpoint.keep)


def _load_weights(network: Any, folder: Path) -> None:
    """Weights saved by `save_model` into a network of the same shape, exactly."""
    from safetensors.torch import load_file

    if hasattr(network, "get_base_model"):
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(network, load_file(folder / "adapter_model.safetensors"))
        return
    weights: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        weights |= load_file(file)
    missing, unexpected = network.load_state_dict(weights, strict=False)
    tied = set(getattr(network, "all_tied_weights_keys", None) or ())
    if unexpected or set(missing) - tied:
        raise MedrlError(f"{folder}: weights do not fit the model; missing {missing[:3]}, unexpected {unexpected[:3]}.")


def _rollout_metrics(rollouts: list[Rollout], totals: torch.Tensor, groups: torch.Tensor) -> dict[str, float]:
    entries: dict[str, list[float]] = {}
    for rollout in rollouts:
        for name, value in rollout.scores.items():
            entries.setdefault(f"reward/{name}", []).append(value)
    lengths = [len(rollout.token_ids) for rollout in rollouts]
    return {
        "reward/mean": totals.mean().item(),
        "reward/std": totals.std().item() if len(totals) > 1 else 0.0,
        "reward/missing": missing_share(rollouts),
        **{name: sum(values) / len(values) for name, values in sorted(entries.items())},
        "group/zero_spread": zero_spread(totals, groups),
        "rollout/length": sum(lengths) / len(lengths),
        "rollout/length_max": float(max(lengths)),
        "rollout/truncated": sum(rollout.end_reason == "length" for rollout in rollouts) / len(rollouts),
    }


def _flat_validation(summary: dict[str, Any]) -> dict[str, float]:
    flat = {
        "val/reward": summary["reward"],
        "val/reward_low": summary["low"],
        "val/reward_high": summary["high"],
        **{f"val/{name}": value for name, value in summary["metrics"].items()},
    }
    if summary["parse_rate"] is not None:
        flat["val/parse_rate"] = summary["parse_rate"]
    return flat


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
