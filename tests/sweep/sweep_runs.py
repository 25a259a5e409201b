"""Sweeps on disk for the tests of their results: real run directories, with rewards given by hand instead of trained."""

from functools import cache
from pathlib import Path

from makers import prompts, recipe, tagged, tiny

from medrl.evaluation.validate import summarise
from medrl.learning.step import keep_validation
from medrl.recipe import to_yaml
from medrl.record.report import write_report
from medrl.record.run import Run
from medrl.rollout.types import Rollout
from medrl.sweep.layout import Sweep, SweepRun, write_sweep

STEPS = 4
TABLE = {  # point to seed to the questions' rewards at the last validation
    "lambda=0": {0: [0.0, 0.0, 1.0, 1.0, 0.5, 0.5], 1: [0.0, 0.0, 1.0, 1.0, 0.5, 0.0], 2: [0.5, 0.5, 0.5, 1.0, 0.5, 0.5]},
    "lambda=0.5": {0: [1.0, 0.5, 1.0, 1.0, 1.0, 0.5], 1: [0.5, 1.0, 1.0, 1.0, 1.0, 0.5], 2: [1.0, 0.5, 1.0, 1.0, 1.0, 1.0]},
}  # fmt: skip


@cache
def asked(n: int) -> list:
    """Prompts of `n` phantom questions for the tiny model."""
    return prompts(tiny(), n)


def planned(folder: Path, table, *, baseline=None, metric="val/reward", settings=None) -> Sweep:
    """sweep.json alone. `settings`: of each point; by default `algorithm.kwargs.lambda` is its place."""
    settings = settings or {point: {"algorithm.kwargs.lambda": place} for place, point in enumerate(table)}
    runs = [
        SweepRun(f"{point},seed={seed}", point, seed, {**settings[point], "seed": seed}, f"{place}{seed}")
        for place, (point, seeds) in enumerate(table.items())
        for seed in seeds
    ]
    varied = list(dict.fromkeys(key for one in settings.values() for key in one))
    sweep = Sweep(
        "shaped",
        folder,
        "recipes/quickstart.yaml",
        ["val.every=2"],
        varied,
        metric,
        baseline or next(iter(table)),
        runs,
    )
    write_sweep(sweep)
    return sweep


def make_run(sweep: Sweep, run: SweepRun, questions, rewards, *, status="completed", reason=None, report=False) -> Path:
    """A run of four steps, validated before the first and after the last; its first rewards are all 0. `rewards`: by question."""
    opened = Run(sweep.run_dir(run))
    opened.folder.mkdir(parents=True)
    (opened.folder / "recipe.yaml").write_text(_recipe())
    for step in range(STEPS + 1):
        entry = {"stage": "grpo", "step": step}
        if step:
            entry |= {"reward/mean": 0.1 * step + 0.02 * run.seed, "policy/entropy": 2.0 - 0.2 * step}
            entry |= {"rollout/length": 12.0, "group/zero_spread": 0.25}
        if step in (0, STEPS):
            found = rewards if step else [0.0] * len(rewards)
            sampled = [_rollout(prompt, value) for prompt, value in zip(questions, found)]
            summary = summarise(sampled, sampled, 1, [])
            constant = {"reward": 0.25, "low": 0.1, "high": 0.4}
            entry |= keep_validation(opened, step, summary, sampled, constant)
        opened.log(entry)
    opened.write_summary(
        status=status, reason=reason, engine="local", steps=STEPS, seconds=60.0 + 10 * run.seed, val_first=None, val_last=None
    )  # fmt: skip
    if report:
        write_report(opened.folder)
    return opened.folder


def make_sweep(folder: Path, table=TABLE, *, report=False, **more) -> Sweep:
    """All runs of `table`, completed."""
    sweep = planned(folder, table, **more)
    questions = asked(max(len(rewards) for seeds in table.values() for rewards in seeds.values()))
    for run in sweep.runs:
        make_run(sweep, run, questions, table[run.point][run.seed], report=report)
    return sweep


@cache
def _recipe() -> str:
    return to_yaml(recipe(Path("runs")))


def _rollout(prompt, reward: float) -> Rollout:
    text = tagged(prompt.sample.ground_truth)
    made = Rollout(prompt, 0, [1] * 12, [1] * 12, [0.0] * 12, text, "eos")
    made.reward, made.scores = reward, {"answer/score": reward / 2, "answer/answered": 1.0}
    return made
