"""Reading what a run directory holds, whatever state it is in: what cannot be read is left out and said."""

import json
from pathlib import Path
from typing import Any


def read_object(path: Path, problems: list[str]) -> dict[str, Any]:
    """A JSON object; empty, with a problem noted, when the file is cut off or holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name} could not be read ({type(error).__name__}); it is left out.")
        return {}
    if not isinstance(found, dict):
        problems.append(f"{path.name} holds a {type(found).__name__} where an object was expected; it is left out.")
        return {}
    return found


def read_lines(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    """The JSON objects of a file, one a line; lines that do not parse are counted, as the last of a killed run."""
    if not path.is_file():
        return []
    found, bad = [], 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                value = json.loads(line) if line.strip() else None
            except (ValueError, RecursionError):
                value = False
            if isinstance(value, dict):
                found.append(value)
            elif value is not None:
                bad += 1
    if bad:
        problems.append(f"{path.name}: {bad} line{'' if bad == 1 else 's'} could not be read; they are left out.")
    return found


def numbered(folder: Path, suffix: str) -> list[Path]:
    """The `step_000010` files of a folder in order of their steps."""
    files = [path for path in folder.glob(f"step_*{suffix}") if path.stem.removeprefix("step_").isdecimal()]
    return sorted(files, key=lambda path: int(path.stem.removeprefix("step_")))
