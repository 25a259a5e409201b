"""Splits in which no patient and no image stands on two sides.

A sample goes where the hash of its group sends it; a group is everything tied together by a patient, a study, an image
or (on request) identical image bytes. So a split depends on the seed and the group alone, not on order, and old samples stay
where they were when new ones are added - unless a new sample ties two groups into one.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from medrl.data.sample import Sample
from medrl.errors import MedrlError
from medrl.vision.open import resolve_inside

FRACTIONS = MappingProxyType({"train": 0.7, "val": 0.15, "test": 0.15})  # where a published set has no split of its own
# what names a group, best first: the key least likely to change when samples are added
KEY_ORDER = ("patient", "study", "bytes", "image", "file", "sample")
Key = tuple[str, str]  # (one of KEY_ORDER, its value)


def assign(
    samples: Iterable[Sample],
    fractions: Mapping[str, float],
    seed: int = 0,
    image_bytes: bool = False,
    root: Path | None = None,
) -> dict[str, list[Sample]]:
    """Every sample in exactly one split of `fractions` (name to share, together 1), its `extra_info.split` set to it.

    `image_bytes=True` also ties samples whose images are the same file byte for byte; paths are read below `root`.
    Shares are of groups and only expected values: few groups, or large ones, stray from them.
    Raises MedrlError for fractions that do not add up.
    """
    check_fractions(fractions)
    listed = list(samples)
    keys = [_keys(sample, image_bytes, root) for sample in listed]
    names = _group_names(keys)
    splits: dict[str, list[Sample]] = {name: [] for name in fractions}
    for sample, own_keys in zip(listed, keys):
        name = split_of(names[own_keys[0]], fractions, seed)
        splits[name].append(replace(sample, extra_info={**sample.extra_info, "split": name}))
    return splits


def overlap(
    samples_a: Iterable[Sample], samples_b: Iterable[Sample], image_bytes: bool = False, root: Path | None = None
) -> dict[str, list[str]]:
    """`{"images": […], "patients": […], "studies": […]}` on both sides, sorted; empty lists are what one hopes for.

    An image is known by its `image_id`, else its path, else its content; with `image_bytes=True` by its content too.
    """
    seen_a, seen_b = (
        {key: label for sample in side for key, label in _labelled(sample, image_bytes, root)}
        for side in (samples_a, samples_b)
    )
    shared = {key: seen_a[key] for key in seen_a.keys() & seen_b.keys()}
    return {
        "images": sorted({label for (what, _), label in shared.items() if what not in ("patient", "study")}),
        "patients": sorted({label for (what, _), label in shared.items() if what == "patient"}),
        "studies": sorted({label for (what, _), label in shared.items() if what == "study"}),
    }


def split_of(group: str, fractions: Mapping[str, float], seed: int = 0) -> str:
    """The split of a group by its hash: a pure function of the group's name, the fractions and the seed."""
    share, reached = hashed_share(seed, group), 0.0
    for name, fraction in fractions.items():
        reached += fraction
        if share < reached:
            return name
    return list(fractions)[-1]  # the sum of 0.7 + 0.15 + 0.15 may fall short of 1 by a rounding


def hashed_share(seed: int, text: str) -> float:
    """A number in [0, 1) that looks random but follows from seed and text, on every machine and in every version."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{text}".encode()).digest()[:8], "big") / 2**64


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Raise MedrlError unless the shares are positive and add up to 1."""
    if not fractions or min(fractions.values()) <= 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise MedrlError(
            f"split fractions {dict(fractions)} add up to {sum(fractions.values()):g}; "
            "expected positive shares that add up to 1, such as {'train': 0.7, 'val': 0.15, 'test': 0.15}."
        )


def patient_of(sample: Sample) -> str | None:
    """The patient as text; None where the data does not say."""
    patient = sample.extra_info.get("patient_id")
    return None if patient is None else str(patient)


def study_of(sample: Sample) -> str | None:
    """The study, behind its patient where one is named: studies may be numbered anew for every patient."""
    study, patient = sample.extra_info.get("study_id"), patient_of(sample)
    if study is None:
        return None
    return str(study) if patient is None else f"{patient}/{study}"


def images_of(sample: Sample) -> list[str]:
    """The `image_id`s of a sample; an empty list where the data does not name its images."""
    named = sample.extra_info.get("image_id")
    if named is None:
        return []
    return [str(one) for one in named] if isinstance(named, list | tuple) else [str(named)]


def image_bytes_of(image: Mapping[str, Any], root: Path | None) -> bytes:
    """The encoded file of one of a sample's images. Raises MedrlError when it cannot be read."""
    if image.get("bytes") is not None:
        return bytes(image["bytes"])
    try:
        return resolve_inside(root, image["path"]).read_bytes()
    except OSError as error:
        raise MedrlError(f"image {image['path']}: {error.strerror}; its bytes are needed to compare images.") from None


def _labelled(sample: Sample, image_bytes: bool, root: Path | None) -> list[tuple[Key, str]]:
    """The keys that tie a sample to others, each with the name to show a reader."""
    patient, names = patient_of(sample), images_of(sample)
    found: list[tuple[Key, str]] = [(("patient", patient), patient)] if patient is not None else []
    if (study := study_of(sample)) is not None:
        found.append((("study", study), study))
    found += [(("image", name), name) for name in names]
    for position, image in enumerate(sample.images):
        path = image.get("path") if image.get("bytes") is None else None
        if not names and path is not None:
            found.append((("file", path), path))
        if image_bytes or (not names and path is None):
            digest = hashlib.sha256(image_bytes_of(image, root)).hexdigest()
            found.append((("bytes", digest), names[position] if position < len(names) else path or digest))
    return found


def _keys(sample: Sample, image_bytes: bool, root: Path | None) -> list[Key]:
    return [key for key, _ in _labelled(sample, image_bytes, root)] or [("sample", sample.id)]


def _group_names(keys_of_samples: Iterable[list[Key]]) -> dict[Key, str]:
    """Each key's group, named by the best key in it: union-find, where every sample joins its own keys."""
    parent: dict[Key, Key] = {}

    def top(key: Key) -> Key:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def rank(key: Key) -> tuple[int, str]:
        return KEY_ORDER.index(key[0]), key[1]

    for keys in keys_of_samples:
        for key in keys:
            parent.setdefault(key, key)
        best = min((top(key) for key in keys), key=rank)
        for key in keys:
            parent[top(key)] = best  # the best key stays on top, so that the top is the group's name
    return {key: "/".join(top(key)) for key in parent}
