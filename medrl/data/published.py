"""The files of a published data set: found where its authors put them, or named in the error when they are not there.

Adapters share these few lines so that each of them says the same when a folder, a file or an option is wrong.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from medrl.errors import MedrlError

LISTED = 12  # how many names an error shows of what is there


def find_folder(adapter: str, root: Path | None, inner: str, needed: Collection[str] = ()) -> Path:
    """`root/inner` when it holds all of `needed`, else `root` itself: both are where people unpack a data set.

    Raises MedrlError when neither holds them, naming what is missing and what is there.
    """
    base = _given(adapter, root)
    for folder in (base / inner, base):
        if folder.is_dir() and all((folder / name).exists() for name in needed):
            return folder
    looked = base / inner if (base / inner).is_dir() else base
    missing = ", ".join(name for name in needed if not (looked / name).exists())
    lacks = f"{looked} lacks {missing}; " if looked.is_dir() else ""
    raise MedrlError(f"{adapter}: {lacks}{what_is_there(looked)}. Give the folder that holds {inner}/ as published.")


def find_file(adapter: str, folder: Path | None, names: Collection[str]) -> Path:
    """The first of `names` that is a file in `folder`. Raises MedrlError listing what is there."""
    base = _given(adapter, folder)
    for name in names:
        if (base / name).is_file():
            return base / name
    wanted = " or ".join(names)
    raise MedrlError(f"{adapter}: no {wanted} in {base}; {what_is_there(base)}. Correct the root or the split.")


def read_json_list(adapter: str, path: Path) -> list[Any]:
    """The records of a file that holds one JSON list. Raises MedrlError when it does not."""
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MedrlError(f"{adapter}: {path} is not readable JSON ({error}). Fetch it again.") from None
    if not isinstance(records, list):
        raise MedrlError(f"{adapter}: {path} holds a JSON {type(records).__name__}, expected a list of records.")
    return records


def check_one_of(adapter: str, what: str, given: str, known: Collection[str]) -> None:
    """Raise MedrlError unless `given` is one of the known values of an option or split."""
    if given not in known:
        raise MedrlError(f"{adapter}: unknown {what} {given!r}; expected one of {', '.join(known)}.")


def what_is_there(folder: Path) -> str:
    """What a folder holds, in words for an error."""
    if not folder.is_dir():
        return f"{folder} is not a folder"
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"it holds {', '.join(names[:LISTED]) or 'nothing'}{more}"


def as_text(value: Any) -> str:
    """A published field as clean text: 4 becomes "4", "CLOSED " becomes "CLOSED", None becomes "".

    >>> as_text(4), as_text("CLOSED "), as_text(None)
    ('4', 'CLOSED', '')
    """
    return "" if value is None else str(value).strip()


def _given(adapter: str, root: Path | None) -> Path:
    if root is None:
        raise MedrlError(f"{adapter}: no root was given. Set it to the folder the data set was unpacked in.")
    return Path(root)
