"""`medrl reward`: try a reward file before a run, attack it, or score stored rollouts under another one."""

from pathlib import Path
from typing import Annotated

import typer

from medrl.commands.arguments import AsJson, Overrides, RecipeArgument, read_recipe
from medrl.errors import MedrlError
from medrl.terminal import report_rescored, working

reward_app = typer.Typer(no_args_is_help=True, help="Try a reward file, attack it, or score stored rollouts again.")


@reward_app.command("rescore")
def rescore(
    run: Annotated[Path, typer.Argument(help="A run directory such as runs/quickstart.", show_default=False)],
    recipe: RecipeArgument,
    overrides: Overrides = None,
    held_out: Annotated[
        bool, typer.Option("--val", help="The replies of the run's validations, not those of its training.")
    ] = False,
    top: Annotated[int, typer.Option(help="How many of the most changed groups and rollouts to list.")] = 10,
    out: Annotated[Path | None, typer.Option(help="Write old and new of every rollout here, as JSON lines.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score a run's stored rollouts under a recipe's rewards, without a model: means, order in groups, advantages.

    `medrl reward rescore runs/x runs/x/recipe.yaml rewards.format.weight=0` asks what one change would have done.
    """
    from medrl.evaluation.rescore import facts_of, write
    from medrl.evaluation.rescore import rescore as score_again

    if not (run / "recipe.yaml").is_file():
        raise MedrlError(
            f"{run}: not a run directory (no recipe.yaml). Expected RUN RECIPE, such as runs/quickstart recipe.yaml."
        )
    settings, beside = read_recipe(recipe, overrides)
    with working(quiet=as_json) as progress:
        found = score_again(run, settings, beside, held_out, progress)
    if out is not None:
        write(found, out)
    facts = {"run": str(run), "recipe": str(recipe), **facts_of(found, top), "out": str(out) if out else None}
    report_rescored(facts, as_json)
