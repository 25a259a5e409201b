"""Whether the runs of a sweep were made with the same code and data, as their cards and recipes tell it.

Their means are put side by side as if only what is swept differed. What may differ with the recipe, such as the file of a
reward, is compared only between runs that name it in the same way. A run without a card is passed over.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MOST_NAMED = 3  # runs named for each of two values
CHARACTERS = 12  # of a hash

Card = tuple[str, Mapping[str, Any], Mapping[str, Any]]  # a run's name, its card.json, its recipe.yaml
Recipe = Mapping[str, Any]
SAME: tuple[tuple[str, str, Callable[[Recipe, str], Any]], ...] = (
    # key of the card; what it is called; and what of the recipe goes with it, or with this part of it
    ("medrl", "medrl's version", lambda recipe, part: None),
    ("git_commit", "medrl's commit", lambda recipe, part: None),
    ("python", "Python's version", lambda recipe, part: None),
    ("packages", "the version of package", lambda recipe, part: None),
    ("data_sha256", "the data of", lambda recipe, part: _data(recipe, part)),
    ("prompt_template_sha256", "the prompt's template", lambda recipe, part: recipe.get("prompt")),
    ("env_sha256", "the environment's file", lambda recipe, part: _of(recipe, "env", "use")),
    ("advantage_sha256", "the estimator's file", lambda recipe, part: _of(recipe, "algorithm", "advantage")),
    ("reward_sha256", "the file of reward", lambda recipe, part: _of(recipe, "rewards", part, "use")),
)


def card_differences(cards: Sequence[Card]) -> list[str]:
    """One sentence for each thing that should be the same in these runs and is not, and for each that changed in a run."""
    values: dict[str, dict[str, dict[str, list[str]]]] = {}  # what it is, what it goes with, its value: the runs
    said = []
    for name, card, recipe in cards:
        for key, called, goes_with in SAME:
            found = card.get(key)
            parts = found if isinstance(found, dict) else {"": found} if key in card else {}
            for part, value in parts.items():
                what, group = (
                    f"{called} {part}".strip(),
                    json.dumps(goes_with(recipe, part), sort_keys=True, default=str),
                )
                values.setdefault(what, {}).setdefault(group, {}).setdefault(_text(value), []).append(name)
        changed = card.get("changed_since_start")
        if isinstance(changed, list) and changed:
            said.append(f"{name} was resumed with other parts than it began with: {', '.join(map(str, changed))}.")
    for what, groups in values.items():
        for found in groups.values():
            if len(found) > 1:
                told = "; ".join(f"{value} in {_some(names)}" for value, names in found.items())
                said.append(f"These runs are compared though {what} is not the same in all: {told}.")
    return [text.encode("utf-8", "backslashreplace").decode() for text in said]  # a lone surrogate cannot be written


def _data(recipe: Recipe, split: str) -> Any:
    """The settings that say what a split holds."""
    if split == "pass_rates":
        return _of(recipe, "curriculum", "pass_rates")
    data = [_of(recipe, "data", key) for key in ("adapter", "root", split, "options", f"{split}_options", "kinds")]
    return [*data, _of(recipe, "val", "max_samples") if split == "val" else None]


def _of(recipe: Any, *keys: str) -> Any:
    for key in keys:
        recipe = recipe.get(key) if isinstance(recipe, dict) else None
    return recipe


def _text(value: Any) -> str:
    """A hash cut short, `…-dirty` kept; anything else as it is."""
    if value is None:
        return "none"
    text = str(value)
    head, dash, rest = text.partition("-")
    if len(head) >= 32:
        return f"{head[:CHARACTERS]}{dash}{rest[:20]}"
    return text[:60]


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return " ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
