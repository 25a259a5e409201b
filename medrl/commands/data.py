"""`medrl data`: look at a recipe's data, or write it as parquet."""

from pathlib import Path
from typing import Annotated, Any

import typer

from medrl.commands.arguments import AsJson, Overrides, RecipeArgument, read_recipe
from medrl.errors import MedrlError
from medrl.terminal import console, print_facts

data_app = typer.Typer(no_args_is_help=True, help="Look at data, or write it as a parquet file in verl's format.")


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


def _load_both(path: Path, overrides: list[str] | None) -> tuple[Any, Any]:
    from medrl.data.of_recipe import load_split

    settings, beside = read_recipe(path, overrides)
    return load_split(settings, "train", beside), load_split(settings, "val", beside)
