"""Checkpoints that are whole or do not exist.

A checkpoint is written into a hidden folder, every file synced and listed with its hash in `manifest.json`, then renamed;
only afterwards are older ones pruned. Loading believes the manifest, not the name: a damaged checkpoint is passed over
with a warning that names the file, and the one before it is taken.
"""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medrl.record.files import sha256_of, sync_file, sync_folder, write_json, write_text

MANIFEST = "manifest.json"


def save_checkpoint(folder: Path, step: int, write: Callable[[Path], None], keep: int) -> Path:
    """Make `folder/global_step_<step>`; `write` fills an empty folder with the files. Keeps the newest `keep`.

    An OSError (a full disk) leaves earlier checkpoints untouched and is raised.
    """
    final = folder / f"global_step_{step}"
    aside = folder / f".part_global_step_{step}"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(aside, ignore_errors=True)  # left by a kill
    aside.mkdir()
    try:
        write(aside)
        files = sorted(path for path in aside.rglob("*") if path.is_file())
        for path in files:
            sync_file(path)
        write_json(
            aside / MANIFEST,
            {"step": step, "sha256": {str(path.relative_to(aside)): sha256_of(path) for path in files}},
        )
        for path in [aside, *(path for path in aside.rglob("*") if path.is_dir())]:
            sync_folder(path)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    if (
        final.exists()
    ):  # the same step again, after a resume from an older one: equal content, so replacing loses nothing
        shutil.rmtree(final)
    aside.rename(final)
    sync_folder(folder)
    write_text(folder / "latest", f"{final.name}\n")
    for old in sorted(_finished(folder), key=_step)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint, or None. Leftovers of a kill are removed; a damaged one is passed over with a warning."""
    if not folder.is_dir():
        return None
    for leftover in folder.glob(".part_*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for path in sorted(_finished(folder), key=_step, reverse=True):
        if (fault := _fault(path)) is None:
            return path
        warnings.warn(f"{path}: {fault}; falling back to the checkpoint before it.", stacklevel=2)
    return None


def _finished(folder: Path) -> list[Path]:
    return [path for path in folder.glob("global_step_*") if path.is_dir()]


def _step(path: Path) -> int:
    return int(path.name.removeprefix("global_step_"))


def _fault(path: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"{MANIFEST} cannot be read ({error})"
    for name, digest in manifest["sha256"].items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if sha256_of(file) != digest:
            return f"{name} is damaged (its hash differs from {MANIFEST})"
    return None
