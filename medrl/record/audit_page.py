"""The audit as one page: how far each rule gets without looking, against chance, and the copies side by side.

It loads nothing, like every page here. Pictures are small and few; patients and studies are only counted, never named.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from medrl.data.fingerprints import Fingerprint
from medrl.errors import MedrlError
from medrl.evaluation.audit import Audit
from medrl.evaluation.leaks import COPY_WORDS, Leak
from medrl.evaluation.shortcuts import Shortcut
from medrl.record.album import small_jpeg
from medrl.record.files import write_text
from medrl.record.page import rendered
from medrl.vision.open import open_image

SHOWN_PAIRS = 24  # of each pair of splits, the least sure first: those a person has to judge
SIDE_PX, PICTURE_BYTES = 240, 20_000
NAME_CHARACTERS = 60


@dataclass(frozen=True)
class Shown:
    """One side of a pair: a data URI (empty where the picture cannot be opened), its name and its size in words."""

    uri: str
    name: str
    size: str


@dataclass(frozen=True)
class Pair:
    """A held-out picture and its copy in training."""

    how: str
    first: Shown
    second: Shown


def write_audit_page(audit: Audit, path: Path, name: str, root: Path) -> Path:
    """Write and return `path`, replacing an earlier page whole. `root`: where the image paths of the data start."""
    if not path.parent.is_dir():
        raise MedrlError(f"{path}: its folder does not exist. Make it, or name another file.")
    write_text(path, rendered("audit", _contents(audit, name, root)))
    return path


def _contents(audit: Audit, name: str, root: Path) -> dict[str, object]:
    findings = audit.findings()
    return {
        "name": name,
        "verdict": "limit reached" if audit.refused else f"{len(findings)} to know" if findings else "nothing found",
        "state": "failed" if audit.refused else "stopped" if findings else "completed",
        "sentence": _headline(audit),
        "findings": findings,
        "max_shortcut": audit.max_shortcut,
        "tables": _tables(audit.shortcuts),
        "leaks": [(leak, _pairs(leak, root)) for leak in audit.leaks],
        "splits": audit.splits,
    }


def _headline(audit: Audit) -> str:
    """The two answers in one or two sentences."""
    said = []
    if (best := audit.strongest) is not None:
        said.append(
            f"Without the picture, {best.accuracy:.0%} of the held-out {best.kind} questions can be answered"
            + (f" where chance is {best.chance:.0%}." if best.chance is not None else ".")
        )
    for leak in audit.leaks:
        if leak.pictures:
            many = leak.copies or "None"
            said.append(f"{many} of the {leak.pictures} pictures of {leak.second} {_are(leak)} in {leak.first} too.")
    return " ".join(said)


def _are(leak: Leak) -> str:
    return "are" if leak.copies > 1 else "is"


def _tables(shortcuts: Sequence[Shortcut]) -> list[tuple[str, list[tuple[str, list[Shortcut]]]]]:
    """(what was tried, by kind) in the order measured."""
    tables: dict[str, dict[str, list[Shortcut]]] = {}
    for one in shortcuts:
        tables.setdefault(f"{one.split}, rules fitted on {one.fitted_on}", {}).setdefault(one.kind, []).append(one)
    return [(title, list(kinds.items())) for title, kinds in tables.items()]


def _pairs(leak: Leak, root: Path) -> list[Pair]:
    chosen = sorted(leak.twins, key=lambda twins: twins.copy.correlation)[:SHOWN_PAIRS]
    return [
        Pair(
            f"details agree to {twins.copy.correlation:.3f}"
            if twins.copy.how == "near"
            else COPY_WORDS[twins.copy.how],
            _shown(twins.first, twins.first_name, root),
            _shown(twins.second, twins.second_name, root),
        )
        for twins in chosen
    ]


def _shown(one: Fingerprint, name: str, root: Path) -> Shown:
    if PurePath(name).is_absolute():  # where the user keeps the data is nobody's business
        name = PurePath(name).name
    try:
        data = small_jpeg(open_image(one.source, root), SIDE_PX, PICTURE_BYTES)
        uri = f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"
    except MedrlError:  # gone since it was read: the page is still worth having
        uri = ""
    shown = name if len(name) <= NAME_CHARACTERS else f"…{name[-NAME_CHARACTERS:]}"
    return Shown(uri, shown, f"{one.size_px[0]} × {one.size_px[1]}")
