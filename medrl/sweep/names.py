"""Names of runs that say what differs: `lambda=0.25,seed=1`, safe as a folder, unique in their sweep, 120 characters at most.

A key is shortened to its last part, or as many as tell it from the others; a value to what a file's name may hold. A name
depends on the keys of its sweep and on its own values only, so that a point added later renames none of the others.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LONGEST = 120
LONGEST_POINT = LONGEST - len(",seed=") - 10  # a seed has ten digits at most
LONGEST_VALUE = 32
RECIPE = "recipe"  # the point that changes nothing
RESERVED = ("seed", "name")
UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


def run_name(point: str, seed: int) -> str:
    return f"{point},seed={seed}"


def point_names(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """One name for each point, in order; points that differ have names that differ, also where case is not told apart."""
    short = short_keys({key: None for point in points for key in point})
    shown = {key: _shown([point[key] for point in points if key in point]) for key in short}
    names = []
    for point in points:
        name = ",".join(f"{short[key]}={shown[key][_as_text(value)]}" for key, value in point.items()) or RECIPE
        names.append(name if len(name) <= LONGEST_POINT else _cut(name, point, LONGEST_POINT))
    often = Counter(name.casefold() for name in names)
    return [
        name if often[name.casefold()] == 1 else _cut(name, point, LONGEST_POINT, whole=True)
        for name, point in zip(names, points)
    ]


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """{key: its last part, with the parts before it until no other key ends so}.

    >>> short_keys(["optimizer.lr", "sft.lr", "algorithm.kwargs.lambda"])
    {'optimizer.lr': 'optimizer.lr', 'sft.lr': 'sft.lr', 'algorithm.kwargs.lambda': 'lambda'}
    """
    parts = {key: key.split(".") for key in keys}
    short = {}
    for key, own in parts.items():
        for count in range(1, len(own) + 1):
            ending = own[-count:]
            alone = sum(other[-count:] == ending for other in parts.values()) == 1
            if alone and not (count == 1 and ending[0] in RESERVED):
                break
        short[key] = _safe(".".join(ending))
    often = Counter(name.casefold() for name in short.values())
    return {key: name if often[name.casefold()] == 1 else f"{name}-{_digest(key)}" for key, name in short.items()}


def _shown(values: Sequence[Any]) -> dict[str, str]:
    """{a value of one key, as JSON: how it is written in names}: the end of a path, unless two would be written alike."""
    texts = {_as_text(value): value for value in values}
    brief = {text: _brief(value, whole=False) for text, value in texts.items()}
    often = Counter(name.casefold() for name in brief.values())
    return {
        text: name if often[name.casefold()] == 1 else _brief(texts[text], whole=True) for text, name in brief.items()
    }


def _brief(value: Any, whole: bool) -> str:
    """A value for a name; `whole`: all of a path, not its last part."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        text = f"{value:g}" if float(f"{value:g}") == value else repr(value)
    elif isinstance(value, str):
        text = value if whole else value.rstrip("/").rpartition("/")[2]
    elif isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        text = "+".join(_brief(item, whole) for item in value)
    else:
        text = _as_text(value)
    safe = _safe(text)
    return safe if safe and len(safe) <= LONGEST_VALUE else _cut(safe, value, LONGEST_VALUE, whole=True)


def _cut(text: str, of: Any, longest: int, whole: bool = False) -> str:
    """`text` with a hash of what it stands for at its end. `whole`: also where there is nothing to cut off."""
    tail = f"-{_digest(_as_text(of))}"
    return text if not whole and len(text) <= longest else (text[: longest - len(tail)] + tail).lstrip("-")


def _safe(text: str) -> str:
    return UNSAFE.sub("-", text).strip("-")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _as_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
