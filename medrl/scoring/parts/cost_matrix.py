"""What each mistake costs: a matrix of classes, given as a mapping or as the path of a YAML file of one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from omegaconf import OmegaConf

from medrl.dialogue.answer_choice import plain_option
from medrl.plugin import find_file


@dataclass(frozen=True)
class CostMatrix:
    """`costs[right][answered]` for every pair of `classes`; `worst` is the greatest of them, `names` what a class may be called."""

    costs: Mapping[str, Mapping[str, float]]
    worst: float
    names: Mapping[str, str]

    @property
    def classes(self) -> list[str]:
        return list(self.costs)

    def class_of(self, text: object) -> str | None:
        """The class that this text names, whatever its case, hyphens and article; None for another text."""
        return self.names.get(plain_option(_word(text)))


def cost_matrix(
    costs: Mapping[Any, Any] | str, default: float | None = None, names: Mapping[Any, Any] | None = None
) -> CostMatrix:
    """Check what a recipe gives: `costs` by right class, then by answered class; a right answer costs 0 where nothing is said.

    `default`: what a pair costs that is not written. `names`: class to a list of what else it is called. ValueError when a
    pair has no cost, a cost is no finite number of at least 0, all are 0, or a name stands for two classes.

    >>> matrix = cost_matrix({"cancer": {"benign": 10}, "benign": {"cancer": 1}})
    >>> matrix.costs["cancer"], matrix.worst, matrix.class_of("The Cancer.")
    ({'cancer': 0.0, 'benign': 10.0}, 10.0, 'cancer')
    """
    place = costs if isinstance(costs, str) else "costs"
    given = _from_file(costs) if isinstance(costs, str) else costs
    if not isinstance(given, Mapping) or not given or not all(isinstance(row, Mapping) for row in given.values()):
        raise ValueError(f"{place} is {str(given)[:80]!r}; expected {{right class: {{answered class: cost}}}}.")
    rows = {_word(right): {_word(said): cost for said, cost in row.items()} for right, row in given.items()}
    classes = list(dict.fromkeys([*rows, *(said for row in rows.values() for said in row)]))
    full, lacking = {}, []
    for right in classes:
        full[right] = {said: _cost(place, rows, right, said, default) for said in classes}
        lacking += [f"{right}: {{{said}: …}}" for said, cost in full[right].items() if math.isnan(cost)]
    if lacking:
        raise ValueError(
            f"{place} has no cost for {', '.join(lacking[:5])}{', …' if lacking[5:] else ''}. Add it, or `default:`."
        )
    worst = max(cost for row in full.values() for cost in row.values())
    if worst <= 0:
        raise ValueError(f"{place}: every cost is 0; expected one above 0.")
    return CostMatrix(full, worst, _names(place, classes, names or {}))


@lru_cache(maxsize=16)
def _from_file(path: str) -> Any:
    return OmegaConf.to_container(OmegaConf.load(find_file(path)))


def _word(given: object) -> str:
    """A key as it was meant: YAML reads an unquoted yes or no as a truth value."""
    return {True: "yes", False: "no"}[given] if isinstance(given, bool) else str(given)


def _cost(place: str, rows: Mapping[str, Mapping[str, Any]], right: str, said: str, default: float | None) -> float:
    """The cost of a pair, NaN where nothing gives one."""
    cost = rows.get(right, {}).get(said, 0.0 if right == said else default)
    if cost is None:
        return math.nan
    if isinstance(cost, bool) or not isinstance(cost, (int, float)) or not 0 <= cost < math.inf:
        raise ValueError(f"{place}: {right}: {{{said}: {cost!r}}}; expected a finite cost of at least 0.")
    return float(cost)


def _names(place: str, classes: list[str], given: Mapping[Any, Any]) -> dict[str, str]:
    names: dict[str, str] = {}
    others = {_word(name): words for name, words in given.items()}
    if strangers := others.keys() - set(classes):
        raise ValueError(f"names: {sorted(strangers)} are no classes of {place}; it has {', '.join(classes)}.")
    for name in classes:
        words = others.get(name, [])
        for word in (name, *([words] if isinstance(words, (str, bool)) else words)):
            plain = plain_option(_word(word))
            if not plain or names.setdefault(plain, name) != name:
                raise ValueError(f"{place}: the name {word!r} of {name} is empty or that of another class too.")
    return names
