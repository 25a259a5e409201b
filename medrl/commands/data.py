"""`medrl data`: look at a recipe's data, audit it, measure how hard it is for a model, or write it as parquet."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from medrl.commands.arguments import AsJson, Overrides, RecipeArgument, read_recipe
from medrl.errors import MedrlError
from medrl.terminal import console, print_facts, report_audit

data_app = typer.Typer(
    no_args_is_help=True,
    help="Look at data, audit it, measure how hard it is for a model, or write it as a parquet file in verl's format.",
)


@data_app.command("show")
def data_show(recipe: RecipeArgument, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """What a recipe's data holds: counts, answers, pictures, refused rows, overlap of its splits."""
    from medrl.data.source import describe
    from medrl.data.splits import overlap

    train, val = _load_both(recipe, overrides)
    shared = overlap(train.samples, val.samples)
    facts = {
        "train": describe(train),
        "val": describe(val),
        "shared_between_splits": {k: len(v) for k, v in shared.items()},
    }
    print_facts(facts, as_json)


@data_app.command("build")
def data_build(
    recipe: RecipeArgument,
    out: Annotated[Path, typer.Argument(help="Folder for train.parquet and val.parquet.")],
    overrides: Overrides = None,
    prompted: Annotated[
        bool, typer.Option("--prompted", help="Write the prompts as the model sees them: for training without medrl.")
    ] = False,
) -> None:
    """Write a recipe's data as train.parquet and val.parquet in verl's row format."""
    from medrl.data.sample import write_parquet
    from medrl.dialogue.prompts import load_style

    settings, beside = read_recipe(recipe, overrides)
    style = load_style(settings.prompt.style, beside)
    train, val = _load_both(recipe, overrides)
    for name, items in (("train", train), ("val", val)):
        path = out / f"{name}.parquet"
        if path.exists():
            raise MedrlError(f"{path} exists; nothing is overwritten. Name another folder or remove it.")
        samples = [style.applied(sample) for sample in items.samples] if prompted else items.samples
        console.print(f"{path}: {write_parquet(samples, path)} rows, {len(items.refused)} refused")
        for refused in items.refused[:5]:
            console.print(f"  refused {refused.place}: {refused.reason}")


@data_app.command("audit")
def data_audit(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the audit as one self-contained page too.")] = None,
    as_json: AsJson = False,
) -> None:
    """What answers a recipe's questions without the picture, and what of its held-out split is in training too.

    Exit code 1 when a rule reaches the recipe's data.max_shortcut.
    """
    from medrl.data.of_recipe import load_split
    from medrl.evaluation.audit import audit
    from medrl.record.audit_page import write_audit_page
    from medrl.record.progress import TrainingProgress

    settings, beside = read_recipe(recipe, overrides)
    data = settings.data
    names = ["train", *(["demonstrations"] if data.demonstrations or data.demonstration_options else []), "val"]
    with TrainingProgress(settings, console, quiet=as_json) as progress:
        splits = {name: load_split(settings, name, beside) for name in names}
        samples = {name: items.samples for name, items in splits.items()}
        found = audit(samples, splits["train"].root, data.max_shortcut, progress.working)
    page = None if html is None else write_audit_page(found, html, settings.name, splits["train"].root)
    if as_json:
        print(json.dumps({"recipe": str(recipe), **found.as_json(), "html": str(page) if page else None}))
    else:
        report_audit(found)
        if page:
            console.print(f"page: {page}", markup=False, soft_wrap=True)
    if found.refused:
        if not as_json:
            console.print(
                f"data.max_shortcut={data.max_shortcut:g} is reached: `medrl train` would not start.", markup=False
            )
        raise typer.Exit(1)


@data_app.command("difficulty")
def data_difficulty(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    attempts: Annotated[int, typer.Option(min=1, help="Attempts at each sample.")] = 16,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file; by default RUNS_DIR/NAME.SPLIT.pass_rates.jsonl.")
    ] = None,
    split: Annotated[str, typer.Option(help="train or val.")] = "train",
    run: Annotated[
        Path | None, typer.Option("--run", help="Measure the newest checkpoint of this run, a run of the same model.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How often a recipe's model is right on each sample, and what to do with it: demonstrate, train by RL, leave out.

    Goes on where it was stopped. Train on what has a signal with curriculum.pass_rates=FILE and the band it prints.
    """
    if split not in ("train", "val"):
        raise MedrlError(f"--split {split}: expected train or val.")
    settings, beside = read_recipe(recipe, overrides)
    from medrl import preflight
    from medrl.commands.show_difficulty import show_plan
    from medrl.evaluation.support import support_plan
    from medrl.learning.difficulty import measure, to_measure
    from medrl.record.checkpoint import latest_checkpoint
    from medrl.record.files import write_json
    from medrl.record.progress import TrainingProgress

    found = latest_checkpoint(run / "checkpoints") if run else None
    if run and not found:
        raise MedrlError(f"{run}: no checkpoint yet. Expected one under {run / 'checkpoints'}.")
    out = out or Path(settings.runs_dir) / f"{settings.name}.{split}.pass_rates.jsonl"
    with TrainingProgress(settings, console, quiet=as_json) as progress:
        plan = preflight.check(to_measure(settings), beside, progress.working)
        rows = measure(
            plan, out, split=split, attempts=attempts, weights=found / "model" if found else None,
            progress=progress.working,
        )  # fmt: skip
    data = plan.train if split == "train" else plan.val
    by = settings.data.slice_by or "kind"
    support = support_plan(rows, {one.id: one.slice_of(by) for one in data.samples}, attempts, str(out))
    beside_it = out.with_name(f"{out.name}.plan.json")
    write_json(beside_it, support)
    show_plan(support, {"file": str(out), "plan": str(beside_it)}, as_json)


def _load_both(path: Path, overrides: list[str] | None) -> tuple[Any, Any]:
    from medrl.data.of_recipe import load_split

    settings, beside = read_recipe(path, overrides)
    return load_split(settings, "train", beside), load_split(settings, "val", beside)
