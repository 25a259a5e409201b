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
ENDS = re.compile(rf"^{UNSAFE.pattern}|{UNSAFE.pattern}$")


def run_name(point: str, seed: int) -> str:
    return f"{point},seed={seed}"


def point_names(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """One name for each point, in order; points that differ have names that differ, also where case is not told apart."""
    short = short_keys({key: None for point in points for key in point})
    names = []
    for point in points:
        name = ",".join(f"{short[key]}={_brief(value)}" for key, value in point.items()) or RECIPE
        names.append(name if len(name) <= LONGEST_POINT else _cut(name, point, LONGEST_POINT))
    distinct = {_as_text(point): name for name, point in zip(names, points)}  # a point given twice is told elsewhere
    often = Counter(name.casefold() for name in distinct.values())
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


def _brief(value: Any) -> str:
    """A value for a name. A path is written whole or, where it is long, as its end with a hash of the whole: the last part
    alone would have to change once another path ends so."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        text = f"{value:g}" if float(f"{value:g}") == value else repr(value)
    elif isinstance(value, str):
        text = value if len(value) <= LONGEST_VALUE else value.rstrip("/").rpartition("/")[2]
    elif isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        text = "+".join(_brief(item) for item in value)
    else:
        text = _as_text(value)
    safe = _safe(text)
    all_there = text == value or not isinstance(value, str)
    return safe if safe and all_there and len(safe) <= LONGEST_VALUE else _cut(safe, value, LONGEST_VALUE, whole=True)


def _cut(text: str, of: Any, longest: int, whole: bool = False) -> str:
    """`text` with a hash of what it stands for at its end. `whole`: also where there is nothing to cut off."""
    tail = f"-{_digest(_as_text(of))}"
    if not whole and len(text) <= longest:
        return text
    return text[: longest - len(tail)] + tail if text else tail[1:]


def _safe(text: str) -> str:
    """Without unsafe characters at its ends, and with a dash for those within; a minus sign of its own stays."""
    return UNSAFE.sub("-", ENDS.sub("", text))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _as_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
