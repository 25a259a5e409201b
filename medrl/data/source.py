"""Load a data set by the name of its adapter: a file of `medrl/data/adapters`, or the user's own `path.py[:function]`.

Everything an adapter refuses is kept with its reason for the caller to show, and so is every sample whose image file is
missing or outside the root. `sha256` is over what was loaded, so two runs on one card used the same data.
"""

import difflib
import hashlib
import importlib
import json
import pkgutil
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import medrl.data.adapters
from medrl.data.sample import Refused, Sample, check, to_row
from medrl.data.splits import images_of, patient_of
from medrl.errors import MedrlError
from medrl.plugin import Plugin, check_call, load_plugin
from medrl.vision.open import image_size, resolve_inside

TOP = 5  # answers and reasons shown


@dataclass(frozen=True)
class DataSet:
    """What an adapter gave: `samples` to use, records it `refused`, and the folder their image paths start from."""

    samples: list[Sample]
    refused: list[Refused]
    sha256: str
    root: Path


def load(
    adapter: str,
    root: Path | None,
    split: str,
    options: dict[str, Any],
    beside: Path | None = None,
    limit: int | None = None,
) -> DataSet:
    """Read one split with `adapter`, called as `read(root, split, **options)`; at most `limit` samples.

    `beside` is the recipe's directory, where a user's adapter may lie. `root=None` means the working directory.
    Raises MedrlError for an unknown adapter, options it does not take, and when not one sample is left.
    """
    plugin = find_adapter(adapter, beside)
    check_call(plugin, ("root", "split"), options)
    if limit is not None and limit < 1:
        raise MedrlError(f"{adapter}: limit={limit}, expected at least 1, or none for all samples.")
    folder = Path.cwd() if root is None else Path(root)
    samples: list[Sample] = []
    refused: list[Refused] = []
    for item in _read(plugin, root if root is None else folder, split, options):
        if isinstance(item, Sample):
            item = _refused(item, folder) or item
        if isinstance(item, Refused):
            refused.append(item)
            continue
        samples.append(item)
        if limit is not None and len(samples) == limit:
            break
    if not samples:
        raise MedrlError(
            f"{adapter}: split {split!r} of {folder} has not one usable sample; {len(refused)} records were refused"
            f"{tell_reasons(refused)}. Check the root, the split and the options {options}."
        )
    return DataSet(samples, refused, _digest(samples, folder), folder)


def find_adapter(adapter: str, beside: Path | None = None) -> Plugin:
    """The adapter's `read`, built in or the user's. Raises MedrlError with the nearest name and the whole list."""
    if ".py" in adapter:
        return load_plugin(adapter, default="read", beside=beside)
    known = adapter_names()
    if adapter not in known:
        near = difflib.get_close_matches(adapter, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise MedrlError(
            f"no data adapter {adapter!r}.{hint} Expected one of {', '.join(known)}, "
            "or your own as path/to/file.py[:function]."
        )
    module = importlib.import_module(f"{medrl.data.adapters.__name__}.{adapter}")
    path = Path(str(module.__file__))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Plugin(reference=adapter, path=path, sha256=sha256, target=module.read)


def adapter_names() -> list[str]:
    """The built-in adapters: the files in medrl/data/adapters."""
    return sorted(module.name for module in pkgutil.iter_modules(medrl.data.adapters.__path__))


def describe(data: DataSet) -> dict[str, Any]:
    """Counts to look at before training: kinds, answers, letters, images, patients, modalities, and what was refused.

    `answers[kind]` lists the commonest answers with their share: the first share is what always giving it would score.
    An option is shown by its text; `letters` is the share of each letter among the choice questions.
    """
    samples = data.samples
    by_kind: dict[str, list[Sample]] = {}
    for sample in samples:
        by_kind.setdefault(sample.kind or "not stated", []).append(sample)
    return {
        "samples": len(samples),
        "refused": len(data.refused),
        "refused_reasons": dict(Counter(one.reason for one in data.refused).most_common(TOP)),
        "kinds": {kind: len(group) for kind, group in by_kind.items()},
        "answers": {kind: _shares(map(_answer, group)) for kind, group in by_kind.items()},
        "letters": _shares(sample.ground_truth for sample in samples if sample.kind == "choice"),
        "images": len({key for sample in samples for key in _image_names(sample)}),
        "images_per_sample": dict(sorted(Counter(len(sample.images) for sample in samples).items())),
        "image_sizes": _tell_sizes(Counter(size for sample in samples for size in _sizes(sample, data.root))),
        "patients": len({patient for sample in samples if (patient := patient_of(sample)) is not None}),
        "modalities": dict(Counter(str(value) for sample in samples if (value := sample.extra_info.get("modality")))),
        "demonstrations": sum(bool(sample.demonstration) for sample in samples),
        "sha256": data.sha256,
    }


def _read(plugin: Plugin, root: Path | None, split: str, options: dict[str, Any]) -> Iterator[Sample | Refused]:
    """The adapter's items. This is the boundary to a user's code: what it raises becomes one error that names it."""
    number = 0
    try:
        for item in plugin.target(root, split, **options):
            if not isinstance(item, Sample | Refused):
                what = type(item).__name__
                raise MedrlError(f"{plugin.path}: item {number} is a {what}; expected medrl's Sample or Refused.")
            yield item
            number += 1
    except MedrlError:
        raise
    except Exception:
        trace = traceback.format_exc()
        raise MedrlError(f"{plugin.path}: failed after {number} records. Its traceback:\n{trace}") from None


def _refused(sample: Sample, root: Path) -> Refused | None:
    """Why a sample is no use, or None; of an image given by its path only the place is looked at, not the file."""
    if reason := check(sample):
        return Refused(sample.id, reason)
    shown = [image for observation in sample.observations for image in observation.get("images") or ()]
    for image in [*sample.images, *shown]:
        if image.get("bytes") is None:
            place = f"{sample.id}, image {image['path']}"
            try:
                there = resolve_inside(root, image["path"]).is_file()
            except MedrlError:
                return Refused(place, "the image path leads outside the root")
            if not there:
                return Refused(place, "the image file is not there")
    return None


def tell_reasons(refused: list[Refused]) -> str:
    """The three commonest reasons, each with how often and one place; empty when nothing was refused."""
    if not refused:
        return ""
    common = Counter(one.reason for one in refused).most_common(3)
    first = {reason: next(one.place for one in refused if one.reason == reason) for reason, _ in common}
    return ", mostly for: " + "; ".join(f"{reason} ({count}, such as {first[reason]})" for reason, count in common)


def _digest(samples: Iterable[Sample], root: Path) -> str:
    """SHA-256 over the rows as JSON, image bytes by their hash, image files by path and size."""
    digest = hashlib.sha256()
    for sample in samples:
        row = to_row(sample)
        row["images"] = [
            {"sha256": hashlib.sha256(image["bytes"]).hexdigest()}
            if image.get("bytes") is not None
            else {"path": image["path"], "size": resolve_inside(root, image["path"]).stat().st_size}
            for image in sample.images
        ]
        digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False, default=str).encode() + b"\n")
    return digest.hexdigest()


def _answer(sample: Sample) -> str:
    return (sample.options or {}).get(sample.ground_truth, sample.ground_truth)


def _shares(values: Iterable[str]) -> list[dict[str, Any]]:
    counts = Counter(values)
    return [
        {"answer": value, "count": count, "share": round(count / counts.total(), 4)}
        for value, count in counts.most_common(TOP)
    ]


def _image_names(sample: Sample) -> list[str]:
    """What tells images apart: their ids, else their paths, else their bytes."""
    return images_of(sample) or [
        str(image["path"]) if image.get("bytes") is None else hashlib.sha256(image["bytes"]).hexdigest()
        for image in sample.images
    ]


def _tell_sizes(sizes: Counter[tuple[int, int]]) -> dict[str, Any]:
    """The commonest sizes as "640 x 480", how many there are, and the smallest and largest by area."""
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return {
        "common": {f"{width} x {height}": count for (width, height), count in sizes.most_common(TOP)},
        "distinct": len(sizes),
        "smallest": list(by_area[0]) if by_area else None,
        "largest": list(by_area[-1]) if by_area else None,
    }


def _sizes(sample: Sample, root: Path) -> list[tuple[int, int]]:
    """(width, height) of every image, as the adapter says, else from the header; (0, 0) where it cannot be read."""
    stated = sample.extra_info.get("image_size")
    if stated is not None and len(sample.images) == 1:
        return [(int(stated[0]), int(stated[1]))]
    sizes = []
    for image in sample.images:
        try:
            sizes.append(image_size(image, root))
        except MedrlError:
            sizes.append((0, 0))
    return sizes
