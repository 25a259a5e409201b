"""The commands. Each is thin: read the recipe, check it, call the room that does the work, print the result.

A user's mistake is one paragraph on stderr and exit code 2; `--json` prints the result for scripts.
"""

import json
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from medrl.commands.arguments import AsJson, Overrides, RecipeArgument, read_recipe
from medrl.commands.data import data_app
from medrl.commands.reward import reward_app
from medrl.commands.sweep import sweep
from medrl.errors import MedrlError
from medrl.terminal import console, print_facts, report, report_sft

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Train vision-language models to reason about medical images by GRPO with verifiable rewards.",
)  # fmt: skip
app.add_typer(data_app, name="data")
app.add_typer(reward_app, name="reward")
app.command()(sweep)


@app.command()
def train(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    as_json: AsJson = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Move an existing run of this name aside instead of resuming.")
    ] = False,
) -> None:
    """Train a recipe; the same command resumes an interrupted run."""
    from medrl.cluster.supervise import SWEEP_PID, end_with_parent

    end_with_parent(SWEEP_PID)
    settings, beside = read_recipe(recipe, overrides)
    if settings.engine.name == "verl" and (code := _supervised(settings)) is not None:
        raise typer.Exit(code)
    from medrl import preflight  # heavy imports wait until a command needs them
    from medrl.record.progress import TrainingProgress
    from medrl.record.run import Run

    done = _read_json(settings.run_dir / "summary.json")
    if done and done["status"] == "completed" and not fresh:
        folder = Run.open(settings).folder
        if not as_json:
            console.print(f"{folder} is already complete. Run it again with --fresh, or give it another name (name=…).")
        report(done, folder, as_json)
        return
    with TrainingProgress(settings, console, quiet=as_json) as progress:
        plan = preflight.check(settings, beside, progress.working)
        run = Run.open(settings, fresh=fresh)
        changed = run.write_card(_card(plan, [str(recipe), *(overrides or [])]))
        for warning in plan.warnings + [f"resuming, but changed since the run began: {key}" for key in changed]:
            progress.note(warning)
        if settings.engine.name == "verl":
            from medrl.cluster.driver import train as train_on_cluster

            summary = train_on_cluster(plan, run, progress.entry, progress.note)
        else:
            from medrl.learning.train import train as train_here

            summary = train_here(plan, run, progress.entry)
    report(summary, run.folder, as_json)


@app.command()
def sft(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    from_rollouts: Annotated[
        Path | None, typer.Option("--from-rollouts", help="Imitate the correct rollouts of this run instead of data.")
    ] = None,
    keep: Annotated[
        str | None, typer.Option("--keep", help="Which rollouts are correct: REWARD=LEAST. Default: answer=1.0.")
    ] = None,
    as_json: AsJson = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Move an existing run of this name aside instead of resuming it.")
    ] = False,
) -> None:
    """Imitate demonstrations (the cold start as a run of its own): one device, or several processes (sft.parallel)."""
    settings, beside = read_recipe(recipe, overrides, suffix="_sft")
    from medrl.learning.parallel import launch_command, prepare_environment, rank, world_size

    started = "WORLD_SIZE" in os.environ  # by torchrun
    first = rank() == 0
    prepare_environment(settings)
    from medrl.preflight_sft import check_sft
    from medrl.record.progress import TrainingProgress
    from medrl.record.run import Run

    done = _read_json(settings.run_dir / "summary.json")
    if done and done["status"] == "completed" and not fresh and not started:
        Run.open(settings, command="sft")
        report_sft(done, settings, as_json)
        return
    several = settings.sft.parallel != "none" and not started
    with TrainingProgress(settings, console, quiet=as_json or not first) as progress:
        plan = check_sft(
            settings, beside, progress.working, from_rollouts=from_rollouts, keep=keep, thorough=first and not started,
            processes=settings.engine.gpus_per_node if several else world_size(),
        )  # fmt: skip
        if several:
            command = launch_command(settings, sys.argv[1:], sys.executable)
        else:
            run = Run.open(settings, fresh=fresh, command="sft") if first else None
            if run is not None:
                changed = run.write_card(_sft_card(plan, [str(recipe), *(overrides or [])], from_rollouts))
                for note in plan.notes + [f"resuming, but changed since the run began: {key}" for key in changed]:
                    progress.note(note)
            from medrl.learning.sft import fine_tune

            summary = fine_tune(plan, run, progress.entry)
    if several:
        os.execv(command[0], command)
    if first:
        report_sft(summary, settings, as_json)
    if started:  # all is written; threads of gloo and DeepSpeed can still abort a process while Python ends
        sys.stdout.flush()
        os._exit(0)


@app.command()
def check(recipe: RecipeArgument, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Check a recipe, its data, rewards and budgets without loading a model; `check env my_env.py:MyEnv` an environment."""
    if str(recipe) == "env":
        return _check_env(overrides or [], as_json)
    from medrl import preflight
    from medrl.record.progress import TrainingProgress

    settings, beside = read_recipe(recipe, overrides)
    with TrainingProgress(settings, console, quiet=as_json) as progress:
        plan = preflight.check(settings, beside, progress.working)
    facts = {
        "recipe": str(recipe),
        "train_samples": len(plan.train.samples),
        "val_samples": len(plan.val.samples),
        "refused_rows": len(plan.train.refused) + len(plan.val.refused),
        "demonstrations": len(plan.demonstrations.samples) if plan.demonstrations else 0,
        "longest_prompt_tokens": plan.longest_prompt,
        "max_prompt_tokens": settings.sampling.max_prompt_tokens,
        "rollouts_per_step": settings.training.prompts_per_step * settings.algorithm.group_size,
        "rewards": {reward.name: f"{reward.weight:g} x {reward.plugin.path}" for reward in plan.rewards},
        "without_the_picture": plan.shortcut,
        "run_directory": str(settings.run_dir),
        "warnings": plan.warnings,
    }
    if settings.engine.name == "verl":
        facts |= _cluster_facts(settings, plan, recipe, overrides or [])
    print_facts(facts, as_json)


@app.command()
def view(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; RUN/rollouts.html by default.")] = None,
    most: Annotated[int, typer.Option(help="How many rollouts to show; 64 keep the page below 5 MB.")] = 64,
    step: Annotated[int | None, typer.Option(help="Rollouts of this step alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the run's rollouts as conversations, and its report again; say where they are."""
    from medrl.record.view import view_run

    _need_run(run)
    print_facts(view_run(run, out, most, step), as_json)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    target: Annotated[Path, typer.Argument(help="A new folder for the model.")],
) -> None:
    """Write the newest checkpoint as a plain Hugging Face folder (LoRA merged)."""
    from medrl.learning.model import export_model
    from medrl.record.checkpoint import latest_checkpoint

    _need_run(run)
    found = latest_checkpoint(run / "checkpoints")
    if found is None:
        raise MedrlError(f"{run}: no checkpoint yet. Expected one under {run / 'checkpoints'}.")
    export_model(found / "model", target)
    console.print(f"{target}: the model of {found.name}, loadable by transformers and vLLM")


def main() -> None:
    """Run a command; a user's mistake ends with one paragraph and exit code 2."""
    # several OpenMP pools that spin on two cores cost more than they compute
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    except MedrlError as error:
        print(f"medrl: {error}", file=sys.stderr)
        sys.exit(2)


def _check_env(arguments: list[str], as_json: bool) -> None:
    """Run the validator on `path.py:Class`, made with the `key=value` that follow."""
    from omegaconf import OmegaConf

    from medrl.recipe import Env
    from medrl.rollout.check_env import check_env
    from medrl.rollout.interaction import load_interaction

    if not arguments:
        raise MedrlError("medrl check env: which one? Give path.py:Class, such as envs/zoom.py:ZoomEnv.")
    reference, *given = arguments
    kwargs = OmegaConf.to_container(OmegaConf.from_dotlist(given))
    interaction = load_interaction(Env(use=reference, kwargs=dict(kwargs)))  # type: ignore[arg-type]
    assert interaction is not None
    found = check_env(interaction.make_env)
    facts = {"env": reference, "tools": [tool["function"]["name"] for tool in interaction.tools]}
    print_facts({**facts, "actions_played": found.actions, "faults": found.faults}, as_json)
    if found.faults:
        raise typer.Exit(1)


def _supervised(settings: Any) -> int | None:
    """Run this very command again as the driver, below a supervisor that clears up after it; None in the driver itself."""
    from medrl.cluster.supervise import SUPERVISOR_PID, end_with_parent, supervise

    if SUPERVISOR_PID in os.environ:
        end_with_parent()
        return None
    temp = Path(tempfile.mkdtemp(prefix="medrl-", dir="/tmp"))  # short: Ray's sockets lie below it, in 107 characters
    return supervise([sys.executable, "-m", "medrl", *sys.argv[1:]], settings.run_dir, temp)


def _cluster_facts(settings: Any, plan: Any, path: Path, changes: list[str]) -> dict[str, Any]:
    """What engine verl makes of the recipe, checked by the installed verl; Ray is not started."""
    from medrl.cluster.explain import estimator_fault, mapping, plain_command
    from medrl.cluster.plain_reward import group_fault
    from medrl.cluster.settings import compose, overrides, this_machine

    machine = this_machine(settings)
    compose(overrides(settings, machine, settings.model.path))
    without = plain_command(settings, machine, settings.run_dir / "data", path, changes)
    return {
        "memory": plan.memory,
        "verl_settings": mapping(settings, machine),
        "without_medrl": group_fault(plan.rewards) or estimator_fault(plan.estimator) or without,
    }


def _card(plan: Any, command: list[str]) -> dict[str, Any]:
    return {
        "command": "medrl train " + shlex.join(command),
        "seed": plan.recipe.seed,
        "data_sha256": {
            "train": plan.train.sha256,
            "val": plan.val.sha256,
            **({"pass_rates": plan.measured.sha256} if plan.measured else {}),
        },
        "prompt_template_sha256": plan.style.sha256,
        "env_sha256": plan.interaction.sha256 if plan.interaction else None,
        "advantage_sha256": plan.estimator.sha256,
        "reward_sha256": {reward.name: reward.plugin.sha256 for reward in plan.rewards},
        "box_frame": plan.builder.family.box_frame,
    }


def _sft_card(plan: Any, command: list[str], from_rollouts: Path | None) -> dict[str, Any]:
    from medrl.learning.parallel import world_size

    return {
        "command": "medrl sft " + shlex.join(command),
        "seed": plan.recipe.seed,
        "data_sha256": {"demonstrations": plan.data_sha256},
        "demonstrations": len(plan.items),
        "from_rollouts": str(from_rollouts) if from_rollouts else None,
        "processes": world_size(),
        **plan.taught,
        "env_sha256": plan.interaction.sha256 or None,
        "box_frame": plan.builder.family.box_frame,
    }


def _need_run(folder: Path) -> None:
    if not (folder / "recipe.yaml").is_file():
        raise MedrlError(f"{folder}: not a run directory (no recipe.yaml). Expected a folder such as runs/quickstart.")


def _read_json(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
