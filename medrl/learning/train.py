"""Engine `local`: the whole run in one process. Read `_steps` to see one GRPO step from samples to changed weights.

All randomness is derived from (seed, step, sample, attempt) and all state that a step needs is in the checkpoint, so a run
killed anywhere and resumed leaves the same journal (times aside) and the same weights as one that was not.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from medrl.data.sample import Sample
from medrl.dialogue.tokens import Prompt
from medrl.errors import MedrlError
from medrl.evaluation.slices import Slicing
from medrl.evaluation.validate import best_constant, validate
from medrl.learning.attempt import StopRequest, attempt, recorder
from medrl.learning.cold_start import cold_start
from medrl.learning.course import Course
from medrl.learning.filtering import gather
from medrl.learning.generate import LocalEngine
from medrl.learning.model import Loaded, load_model
from medrl.learning.plan import Plan
from medrl.learning.state import load_optimizer, load_weights, read_trainer, stored_reference, write_state
from medrl.learning.step import SHOWN_PROMPTS, SHOWN_QUESTIONS, give_advantages, keep_validation
from medrl.learning.update import (
    Reference,
    UpdateSettings,
    learning_rate,
    make_optimizer,
    measure,
    set_learning_rate,
    update,
)  # fmt: skip
from medrl.recipe import Recipe
from medrl.record.checkpoint import save_checkpoint
from medrl.record.loggers import ExternalLoggers
from medrl.record.run import Run
from medrl.rollout.episode import run_group_episodes
from medrl.rollout.seeds import derive_seed
from medrl.rollout.types import Rollout, Sampling
from medrl.scoring.rewards import score_rollouts
from medrl.scoring.workers.service import Service, open_service


@dataclass
class Local:
    """What a local run holds while it runs."""

    plan: Plan
    run: Run
    log: Callable[[dict[str, Any]], None]  # takes every journal entry
    model: Loaded
    sampling: Sampling
    stop: StopRequest
    pool: Service | None  # answers the calls of rewards
    course: Course
    val_prompts: list[Prompt] = field(default_factory=list)
    constant: dict[str, Any] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        return self.plan.recipe


def train(plan: Plan, run: Run, observe: Callable[[dict[str, Any]], None] = lambda entry: None) -> dict[str, Any]:
    """Run or resume the plan's recipe in `run`; returns summary.json. Always leaves a summary, also when it raises."""

    def steps(stop: StopRequest) -> Iterator[int]:
        recipe = plan.recipe
        if recipe.engine.threads:
            torch.set_num_threads(recipe.engine.threads)
        torch.manual_seed(recipe.seed)
        model = load_model(recipe.model, recipe.engine, recipe.seed, run.folder / "base_model")
        sampling = Sampling(recipe.sampling.temperature, recipe.sampling.max_new_tokens, recipe.seed)
        with (
            closing(ExternalLoggers(recipe, run.folder)) as loggers,
            open_service(recipe.scoring, plan.rewards) as pool,
        ):
            course = Course(recipe, plan.train.samples, plan.rates)
            log = recorder(recipe, run, loggers, observe, stop)
            yield from _steps(Local(plan, run, log, model, sampling, stop, pool, course))

    return attempt(run, plan.recipe.training.steps, "local", steps)


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
        if state.stop.reason:
            if saved < step:
                _save(state, optimizer, step)
            return
        clock = _Clock()
        torch.manual_seed(derive_seed(recipe.seed, "grpo", step))  # dropout
        faults: list[str] = []
        ask = partial(_ask, state, engine, step, clock, faults)
        gathered = gather(recipe, step, state.course, ask, state.plan.estimator)
        if not (rollouts := gathered.rollouts):
            raise MedrlError(f"not one sample of this step could be built. The first fault: {faults[0]}")
        trained = [rollout for rollout in gathered.batch if not rollout.filtered]
        old = measure(policy, trained, settings) if _looks_first(state) else None
        metrics = {
            "data/lost_samples": len(faults),
            **give_advantages(recipe, rollouts, step, state.plan.estimator),
            **gathered.metrics,
        }
        metrics |= state.course.observe(step, rollouts)
        rate = learning_rate(recipe.optimizer, step, recipe.training.steps)
        set_learning_rate(optimizer, rate)
        metrics |= update(policy, optimizer, gathered.batch, settings, reference, old)
        metrics["optimizer/lr"] = rate
        clock.lap("update")

        done = step + 1
        last = done == recipe.training.steps
        if done % recipe.val.every == 0 or last:
            metrics |= _validate(state, engine, done)
            asked = {id(rollout.prompt): rollout.prompt.sample for rollout in rollouts}
            state.run.keep_images(list(asked.values())[:SHOWN_PROMPTS], state.plan.builder.root)
        clock.lap("validate")
        state.run.write_rollouts(done, rollouts, state.plan.builder.root)
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
    state.constant = best_constant(state.val_prompts, state.plan.builder, state.plan.rewards, pool=state.pool)
    if found:
        load_weights(policy.model, found / "model")
    elif recipe.sft.steps and state.plan.demonstrations:
        samples = state.plan.demonstrations.samples
        cold_start(
            policy, state.plan.builder, samples, recipe.sft, recipe.seed, state.log, settings.share_prompts,
            state.plan.interaction,
        )  # fmt: skip
    reference = None
    if recipe.algorithm.kl_coef > 0:
        reference = stored_reference(policy, state.model.processor, run.folder / "reference")
    optimizer = make_optimizer(policy, recipe.optimizer)
    if found:
        load_optimizer(optimizer, found)
        kept = read_trainer(found)
        state.plan.estimator.state, state.course.state = kept.get("advantage", {}), kept.get("course", {})
        return int(kept["step"]), optimizer, reference
    state.log({"stage": "grpo", "step": 0, **_validate(state, engine, 0)})
    run.keep_images(state.plan.val.samples[:SHOWN_QUESTIONS], state.plan.builder.root)
    _save(state, optimizer, 0)
    return 0, optimizer, reference


def _ask(
    state: Local, engine: LocalEngine, step: int, clock: "_Clock", faults: list[str], samples: list[Sample]
) -> list[Rollout]:
    """Scored rollouts of the samples, the attempts at one together. A sample that cannot be built any more, its file gone in
    mid-run, has none and adds to `faults`."""
    prompts = []
    for sample in samples:
        try:
            prompts.append(state.plan.builder.build(sample))
        except MedrlError as error:
            faults.append(str(error))
    clock.lap("build")
    rollouts = run_group_episodes(
        engine, state.plan.builder, prompts, state.recipe.algorithm.group_size, state.sampling, "grpo", step,
        interaction=state.plan.interaction,
    )  # fmt: skip
    clock.lap("generate")
    score_rollouts(rollouts, state.plan.rewards, state.pool)
    clock.lap("score")
    return rollouts


def _looks_first(state: Local) -> bool:
    """Whether the step needs log-probabilities or entropies of before its first change of the weights."""
    return state.recipe.training.minibatches > 1 or "entropies" in state.plan.estimator.asks_for


def _validate(state: Local, engine: LocalEngine, step: int) -> dict[str, float]:
    """Validate and keep the result in eval/; returns it as `val/…` metrics."""
    interaction = state.plan.interaction
    summary, rollouts = validate(
        engine, state.plan.builder, state.plan.rewards, state.val_prompts, state.recipe.val.attempts, state.sampling,
        interaction.in_validation() if interaction else None, state.pool, Slicing.of(state.recipe),
    )  # fmt: skip
    return keep_validation(state.run, step, summary, rollouts, state.constant)


def _save(state: Local, optimizer: torch.optim.Optimizer, step: int) -> None:
    def write(folder: Path) -> None:
        remembered = {"advantage": state.plan.estimator.state, "course": state.course.state}
        write_state(folder, state.model.policy, state.model.processor, optimizer, {"step": step, **remembered})

    save_checkpoint(state.run.checkpoints, step, write, state.recipe.checkpoint.keep)


class _Clock:
    """Seconds of each part of a step, those of a part that comes again added up."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[f"time/{name}_s"] = self._laps.get(f"time/{name}_s", 0.0) + now - self._last
        self._last = now

    def laps(self) -> dict[str, float]:
        return {**self._laps, "time/step_s": time.perf_counter() - self._started}
