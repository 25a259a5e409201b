"""What most commands take: a recipe, changes to it, and whether to print JSON."""

from pathlib import Path
from typing import Annotated, Any

import typer

RecipeArgument = Annotated[Path, typer.Argument(help="A recipe such as recipes/quickstart.yaml.", show_default=False)]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Changes to the recipe: key.sub=value …", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def read_recipe(path: Path, overrides: list[str] | None, suffix: str = "") -> tuple[Any, Path]:
    """The checked recipe, one of medrl's own where there is no such file here, and the folder it lies in."""
    from medrl.recipe_file import load_recipe

    path = find_recipe(path)
    return load_recipe(path, overrides or [], suffix), path.resolve().parent


def find_recipe(path: Path) -> Path:
    """The recipe's file: here or, where there is none, medrl's own."""
    from medrl.plugin import SHIPPED

    return SHIPPED / path if not path.is_file() and (SHIPPED / path).is_file() else path
