"""The data a recipe names: one split of its adapter, with the options, kinds and limit it asks for."""

from dataclasses import replace
from pathlib import Path

from medrl.data.source import DataSet, load
from medrl.errors import MedrlError
from medrl.recipe import Recipe


def load_split(recipe: Recipe, name: str, beside: Path | None = None) -> DataSet:
    """One of the recipe's splits: `train`, `val` or `demonstrations`, with that split's options, kinds and limit."""
    data = recipe.data
    split = {"train": data.train, "val": data.val, "demonstrations": data.demonstrations or data.train}[name]
    options = {
        "train": data.train_options,
        "val": data.val_options,
        "demonstrations": data.demonstration_options or data.train_options,
    }[name]
    root = Path(data.root) if data.root else None
    items = load(data.adapter, root, split, {**data.options, **options}, beside=beside)
    kept = [sample for sample in items.samples if not data.kinds or sample.kind in data.kinds]
    if not kept:
        there = ", ".join(sorted({str(sample.kind) for sample in items.samples}))
        raise MedrlError(f"data.kinds={list(data.kinds)}: split {split} has no such question; it has {there}.")
    return replace(items, samples=kept[: recipe.val.max_samples] if name == "val" else kept)
