"""Read what a reward knows of a field from a YAML file: names as text, whatever YAML makes of them.

YAML reads `yes`, `no` and an empty value as true, false and null; here they are the names "yes", "no" and "none", in a
file, in a ground truth and in a model's JSON alike. Nothing but plain data is loaded, and a faulty file is a ValueError.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import yaml

from medrl.dialogue.answer_region import normalise
from medrl.plugin import find_file

Made = TypeVar("Made")


def name_of(value: object) -> str:
    """A value as the name it stands for, in lower case.

    >>> [name_of(value) for value in (True, None, " Hyper-cellular ", 3)]
    ['yes', 'none', 'hyper-cellular', '3']
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else normalise(str(value)).lower()


def names_of(value: object) -> tuple[str, ...]:
    """One value or a list of them as names; None as none at all.

    >>> names_of(["Blasts", True]), names_of("blasts"), names_of(None)
    (('blasts', 'yes'), ('blasts',), ())
    """
    if value is None:
        return ()
    return tuple(map(name_of, value)) if isinstance(value, (list, tuple, set)) else (name_of(value),)


def mapping(value: object, place: str) -> dict[str, Any]:
    """A mapping with its keys as names. Raises ValueError naming the place."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{place}: found {str(value)[:80]!r}, expected a mapping of names. Mend the file.")
    return {name_of(key): held for key, held in value.items()}


def knowledge(file_name: str, make: Callable[[dict[str, Any]], Made]) -> Made:
    """`make` of the file's top-level mapping, once per process and version of the file.

    `file_name`: below the working directory or what medrl ships. Raises ValueError naming the file and its fault.
    """
    path = find_file(file_name)
    return _made(str(path), path.stat().st_mtime_ns, make)


@lru_cache(maxsize=32)
def _made(path: str, changed_ns: int, make: Callable[[dict[str, Any]], Made]) -> Made:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - the path is a cache key
            return make(mapping(yaml.safe_load(file), "the whole file"))
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error
