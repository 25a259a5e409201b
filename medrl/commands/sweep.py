"""`medrl sweep`: from a recipe's `sweep:` block to finished runs, a table and a page; the same command goes on where it ended.

Exit code 0 when every run is completed, 1 when some are not, 128 + n after signal n.
"""

import json
import os
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from medrl.commands.arguments import AsJson, Overrides, RecipeArgument, find_recipe
from medrl.errors import MedrlError
from medrl.terminal import console

RESULTS_WAIT_S = 300.0  # for another process that writes them


def sweep(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and what they change; start none.")] = False,
    at_once: Annotated[
        int | None,
        typer.Option("--at-once", help="Runs at a time. Default: what the cores have threads for; 1 on a GPU."),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Run failed and stopped ones again, from their checkpoint.")
    ] = False,
    only: Annotated[str | None, typer.Option("--only", help="One run, by its name or its number in --dry-run.")] = None,
    results: Annotated[bool, typer.Option("--results", help="Only write the tables and the page again.")] = False,
    slurm: Annotated[bool, typer.Option("--slurm", help="Submit what is missing as a Slurm job array.")] = False,
    throttle: Annotated[int, typer.Option("--throttle", help="Elements of the array that run at once.")] = 2,
    partition: Annotated[str | None, typer.Option("--partition", help="Slurm partition.")] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option("--sbatch", help="Any option of sbatch, such as --sbatch=--gpus=1; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the runs of a recipe's `sweep:` block that are missing; completed ones are kept, interrupted ones resumed."""
    from medrl.sweep.parts import check_parts
    from medrl.sweep.plan import plan_sweep
    from medrl.sweep.shares import default_at_once
    from medrl.sweep.state import state_of

    if at_once is not None and at_once < 1:
        raise MedrlError(f"--at-once {at_once}: how many runs at a time; expected at least 1.")
    path = find_recipe(recipe)
    plan = plan_sweep(path, overrides or [], given_as=str(recipe))
    if not results:
        check_parts(plan, path.parent)
    runs = plan.sweep.runs if only is None else [_one(plan, only)]
    states = {run.name: state_of(plan.sweep, run, plan.recipes[run.name]) for run in runs}
    count = at_once or default_at_once([plan.recipes[run.name] for run in runs])
    if dry_run:
        return _show_plan(plan, states, retry, count, as_json)
    _refuse_foreign(plan, states)
    if results:
        with _alone(plan, shared=True):
            _keep_plan(plan, only=False)
            _finish(plan, states, as_json)
        return
    if slurm:
        given = [*([f"--partition={partition}"] if partition else []), *(sbatch or [])]
        return _submit(plan, states, throttle, given, retry, as_json)
    with _alone(plan, shared=only is not None):
        _keep_plan(plan, only is not None)
        _run(plan, runs, states, count, retry, as_json)


def _run(plan: Any, runs: list[Any], states: dict[str, Any], at_once: int, retry: bool, as_json: bool) -> None:
    """Make the runs, then write the results and say what is left."""
    from medrl.sweep.run import run_sweep
    from medrl.sweep.shares import shares
    from medrl.sweep.show import SweepShow, summary_line
    from medrl.sweep.state import RETRIED, TO_DO, state_of

    wanted = [run for run in runs if states[run.name].status in (*TO_DO, *(RETRIED if retry else ()))]
    show = SweepShow(plan.sweep, console, states, quiet=as_json)
    for note in (*plan.notes, *_left_on_disk(plan), summary_line(states, retry, at_once)):
        show.note(note)
    for run in runs:
        if run not in wanted and states[run.name].status in RETRIED:
            show.note(f"{run.name}: {states[run.name].status}: {states[run.name].reason}")
    stopped = None
    if wanted:
        with show:
            each = shares(min(at_once, len(wanted)))
            stopped = run_sweep(plan, wanted, each, show, lambda: _try_results(plan.sweep, show.note), retry)
    states = {run.name: state_of(plan.sweep, run) for run in runs}
    _finish(plan, states, as_json, 128 + stopped if stopped else None)


def _finish(plan: Any, states: dict[str, Any], as_json: bool, code: int | None = None) -> None:
    """Say what became of the runs, write the results, say where they are; ends with the exit code. `code`: of a signal."""
    left = {name: state for name, state in states.items() if state.status != "done"}
    if not as_json:
        for name, state in left.items():
            reason = f": {state.reason}" if state.reason else ""
            console.print(f"{name}: {state.status}{reason}", markup=False, soft_wrap=True)
        done = f"{plan.sweep.folder}: {len(states) - len(left)} of {len(states)} completed"
        console.print(done + ("; the same command goes on from here" if code else ""), markup=False, soft_wrap=True)
    written = {} if code else _write_results(plan.sweep)  # whoever stops it does not want to wait
    if as_json:
        told = {name: {"status": one.status, "reason": one.reason} for name, one in states.items()}
        facts = {**written, "sweep": str(plan.sweep.folder), "runs": told}
        print(json.dumps(facts, ensure_ascii=False, default=str))
    else:
        for line in (written.get("headline"), *written.get("files", {}).values()):
            if line:
                console.print(str(line), markup=False, soft_wrap=True)
    if code or left:
        raise typer.Exit(code or 1)


def _show_plan(plan: Any, states: dict[str, Any], retry: bool, at_once: int, as_json: bool) -> None:
    from medrl.sweep.show import print_plan

    if not as_json:
        for line in _left_on_disk(plan):
            console.print(line, markup=False, soft_wrap=True)
        return print_plan(plan, states, retry, at_once, console)
    runs = [
        {
            "name": run.name, "point": run.point, "seed": run.seed, "hash": run.hash, "state": states[run.name].status,
            "reason": states[run.name].reason, "changes": plan.changes[run.name], "command": ["medrl", *plan.command(run)],
        }
        for run in plan.sweep.runs if run.name in states
    ]  # fmt: skip
    facts = {"sweep": str(plan.sweep.folder), "baseline": plan.sweep.baseline, "at_once": at_once, "notes": plan.notes}
    print(json.dumps({**facts, "runs": runs}, ensure_ascii=False, default=str))


def _submit(plan: Any, states: dict[str, Any], throttle: int, options: list[str], retry: bool, as_json: bool) -> None:
    from medrl.sweep.slurm import again_arguments, submission, submit
    from medrl.sweep.state import RETRIED

    again = RETRIED if retry else ()
    indices = [
        number
        for number, run in enumerate(plan.sweep.runs)
        if states[run.name].status in ("new", "interrupted", *again)  # what runs is left to whoever runs it
    ]
    if not indices:
        return _finish(plan, states, as_json)
    with _alone(plan, shared=True):
        _keep_plan(plan, only=False)
    (plan.sweep.folder / "logs").mkdir(exist_ok=True)
    job = submit(submission(plan.sweep, indices, throttle, options, retry))
    if as_json:
        print(json.dumps({"sweep": str(plan.sweep.folder), "job": job, "elements": indices, "throttle": throttle}))
        return
    told = f"job {job}: {len(indices)} of {len(plan.sweep.runs)} runs, {throttle} at once"
    same = shlex.join(["medrl", *again_arguments(plan.sweep), "--dry-run"])
    console.print(f"{told}. How it goes: {same}", markup=False, soft_wrap=True)


def _one(plan: Any, wanted: str) -> Any:
    """The run of that name or number."""
    by_name = {run.name: run for run in plan.sweep.runs}
    if wanted in by_name:
        return by_name[wanted]
    if wanted.isdigit() and int(wanted) < len(plan.sweep.runs):
        return plan.sweep.runs[int(wanted)]
    raise MedrlError(
        f"--only {wanted}: no such run. Expected a number from 0 to {len(plan.sweep.runs) - 1}, or a name such as "
        f"{plan.sweep.runs[0].name}; --dry-run lists them."
    )


def _refuse_foreign(plan: Any, states: dict[str, Any]) -> None:
    """A directory that is in the way is never written into."""
    if (plan.sweep.folder / "recipe.yaml").is_file():
        raise MedrlError(
            f"{plan.sweep.folder} is one run's directory, so no sweep can live there. Give the sweep another name (name=…)."
        )
    if others := [state.reason for state in states.values() if state.status == "other"]:
        listed = "\n".join(f"  - {reason}" for reason in others)
        raise MedrlError(
            f"{plan.sweep.folder}: {len(others)} of its runs are in the way.\n{listed}\n"
            "Give the sweep another name (name=…), undo the change, or move those folders away."
        )


def _keep_plan(plan: Any, only: bool) -> None:
    """Write sweep.json. With `--only` it is the plan that the array was submitted with, and has to be the same still."""
    from medrl.sweep.layout import read_sweep, write_sweep

    if only and (plan.sweep.folder / "sweep.json").is_file():
        before = read_sweep(plan.sweep.folder)
        if [(run.name, run.hash) for run in before.runs] != [(run.name, run.hash) for run in plan.sweep.runs]:
            raise MedrlError(
                f"{plan.sweep.recipe} has changed since {plan.sweep.folder / 'sweep.json'} was written, and --only could mean "
                "another run than it did. Run `medrl sweep` without --only, or submit it again with --slurm."
            )
        return
    write_sweep(plan.sweep)


def _left_on_disk(plan: Any) -> list[str]:
    from medrl.sweep.state import unlisted

    names = unlisted(plan.sweep)
    return [f"left as they are, since the recipe does not list them: {', '.join(names)}"] if names else []


@contextmanager
def _alone(plan: Any, shared: bool) -> Iterator[None]:
    """Hold the folder; `shared` with elements of an array, not with a whole sweep."""
    from medrl.sweep.locks import holder, take

    path = plan.sweep.folder / ".sweep.lock"
    lock = take(path, f"pid {os.getpid()} on {socket.gethostname()}", shared)
    if lock is None:
        who = holder(path) or "a process that has just ended"
        raise MedrlError(f"{plan.sweep.folder}: another sweep is at work there, {who}. Wait for it, or stop it first.")
    try:
        yield
    finally:
        os.close(lock)


def _try_results(written: Any, note: Callable[[str], None]) -> None:
    """Write what there is so far; a fault in a table must not end the runs that are under way."""
    try:
        _write_results(written)
    except Exception as error:  # told now, and raised by the same call at the end
        note(f"the results could not be written yet: {type(error).__name__}: {error}")


def _write_results(written: Any) -> dict[str, Any]:
    """Tables and page of the runs so far; one process at a time."""
    from medrl.sweep.locks import holder, take
    from medrl.sweep.results import write_results

    path, until = written.folder / ".results.lock", time.monotonic() + RESULTS_WAIT_S
    while (lock := take(path)) is None:
        if time.monotonic() > until:
            raise MedrlError(f"{written.folder}: {holder(path)} has been writing the results for {RESULTS_WAIT_S:g} s.")
        time.sleep(0.1)
    try:
        return write_results(written)
    finally:
        os.close(lock)
