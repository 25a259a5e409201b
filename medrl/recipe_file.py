"""Read a recipe: one YAML file, what it builds on (`base:`), and `a.b=c` changes from the command line, in this order.

`base: other.yaml`, relative to the file that says it, is read first and overwritten key by key. A `sweep:` block is for
`medrl sweep` alone: `raw_recipe` gives it apart, and every other command runs the recipe as it stands without it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from medrl.errors import MedrlError
from medrl.plugin import find_file
from medrl.recipe import Recipe, recipe_from


def load_recipe(path: Path, overrides: Sequence[str] = (), suffix: str = "") -> Recipe:
    """Read a recipe and apply overrides; MedrlError lists every mistake at once. `suffix`: of a name that is not given."""
    given, _ = raw_recipe(path, overrides)
    return recipe_from(given, str(path), default_name=path.stem + suffix)


def raw_recipe(path: Path, overrides: Sequence[str] = ()) -> tuple[dict[Any, Any], Any]:
    """(what the file, its bases and the overrides say, unchecked; the `sweep:` block, None without one)."""
    return with_overrides(read_file(path), path, overrides)


def read_file(path: Path) -> DictConfig:
    """What a file and its bases say, merged; MedrlError where one is missing or no YAML mapping."""
    try:
        return _with_base(path, ())
    except (YAMLError, OmegaConfBaseException, ValueError) as error:
        raise MedrlError(f"{path}: not a readable recipe: {error}") from None


def with_overrides(merged: DictConfig, path: Path, overrides: Sequence[str]) -> tuple[dict[Any, Any], Any]:
    """`raw_recipe` of a file that is read already."""
    try:
        for override in overrides:
            if "=" not in override:
                raise MedrlError(f"override {override!r}: expected key=value, such as training.steps=100.")
        given = OmegaConf.to_container(OmegaConf.merge(merged, OmegaConf.from_dotlist(list(overrides))), resolve=True)
    except (YAMLError, OmegaConfBaseException, ValueError) as error:
        raise MedrlError(f"{path}: not a readable recipe: {error}") from None
    assert isinstance(given, dict)
    sweep = given.pop("sweep", None)
    return given, sweep


def _with_base(path: Path, below: tuple[Path, ...]) -> DictConfig:
    """The file merged over its base, its base's base and so on."""
    if not path.is_file():
        near = ", ".join(str(other) for other in sorted(path.parent.glob("*.yaml"))[:8]) if path.parent.is_dir() else ""
        raise MedrlError(f"{path}: no such recipe." + (f" That folder has: {near}." if near else ""))
    if path.resolve() in below:
        round_about = " -> ".join(str(one) for one in (*below, path.resolve()))
        raise MedrlError(f"{path}: `base:` runs in a circle, {round_about}. Take one of them out.")
    raw = OmegaConf.load(path)
    if not isinstance(raw, DictConfig):
        kind = type(OmegaConf.to_container(raw)).__name__
        raise MedrlError(f"{path}: found {kind}, expected a mapping of keys such as model, data, rewards.")
    base = raw.pop("base", None)
    if base is None:
        return raw
    if not isinstance(base, str):
        raise MedrlError(f"{path}: base={base!r}: expected one other recipe, such as `base: ../quickstart.yaml`.")
    nearest = path.resolve().parent / base
    found = nearest if nearest.is_file() else find_file(base)
    merged = OmegaConf.merge(_with_base(found, (*below, path.resolve())), raw)
    assert isinstance(merged, DictConfig)
    return merged
