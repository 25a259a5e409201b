"""The built-in phantom set: procedural pictures in the look of six modalities, with lesions to count, name and locate.

Everything is drawn from the seed and the item's number, so the set needs no file and is the same on every machine.
A picture is divided into a 4 x 4 field; each lesion lies inside one cell that the body covers. It is a teaching aid and
a test article: learning it says nothing about patients.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medrl.data.sample import Refused, Sample, make_sample
from medrl.errors import MedrlError

GRID = 4
MODALITIES = ("CT", "MRI", "X-ray", "ultrasound", "fundus photograph", "microscopy")
TASKS = ("count", "modality", "side", "locate")
# item numbers of the splits never meet, so no picture is in two of them
SPLIT_OFFSET = {"train": 0, "val": 10_000_000, "test": 20_000_000, "demo": 30_000_000}


def read(
    root: Path | None,
    split: str,
    *,
    task: str = "count",
    n: int = 512,
    seed: int = 0,
    size_px: int = 112,
    modalities: tuple[str, ...] | list[str] = MODALITIES,
    max_lesions: int = 4,
) -> Iterator[Sample | Refused]:
    """Yield `n` items of one task: count (how many), modality (name it), side (left or right half), locate (box).

    `root` is not used. Raises MedrlError for a task, split or modality that does not exist.
    """
    for what, given, known in (
        ("task", [task], TASKS),
        ("split", [split], SPLIT_OFFSET),
        ("modality", modalities, MODALITIES),
    ):
        if unknown := [value for value in given if value not in known]:
            raise MedrlError(f"phantom: unknown {what} {unknown[0]!r}; expected one of {', '.join(known)}.")
    for number in range(n):
        yield _item(task, split, SPLIT_OFFSET[split] + number, seed, size_px, tuple(modalities), max_lesions)


def draw(
    modality: str, cells: list[tuple[int, int]], size_px: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[list[int]]]:
    """One picture, uint8 (size_px, size_px, 3), with a lesion in each `(row, column)` cell, and the lesions' boxes (xyxy px)."""
    y, x = np.mgrid[0:size_px, 0:size_px].astype(np.float32) / size_px  # (size, size) each, 0..1
    picture = _BODY[modality](x, y, rng)  # (size, size, 3) in 0..1
    boxes = []
    for row, column in cells:
        radius = rng.uniform(0.055, 0.085)
        centre_x = (column + rng.uniform(0.38, 0.62)) / GRID
        centre_y = (row + rng.uniform(0.38, 0.62)) / GRID
        squash = rng.uniform(0.8, 1.25)
        reach = slice(*_pixels(centre_y, 2 * radius, size_px)), slice(*_pixels(centre_x, 2 * radius, size_px))
        distance = np.hypot((x[reach] - centre_x) * squash, (y[reach] - centre_y) / squash) / radius
        blob = np.clip((1.15 - distance) * 4, 0, 1)[..., None]  # soft edge of about two pixels
        picture[reach] += blob * (np.asarray(_LESION_COLOUR[modality], np.float32) - picture[reach])
        inside = np.argwhere(blob[..., 0] > 0.5)
        (top, left), (bottom, right) = inside.min(0), inside.max(0) + 1
        offset_y, offset_x = reach[0].start, reach[1].start
        boxes.append([int(left + offset_x), int(top + offset_y), int(right + offset_x), int(bottom + offset_y)])
    noise = 0.025 * rng.standard_normal((size_px, size_px, 1), dtype=np.float32)
    if modality == "ultrasound":  # speckle is multiplicative
        noise = picture[..., :1] * noise * 7.2
    return (np.clip(picture + noise, 0, 1) * 255).astype(np.uint8), boxes


def _item(
    task: str, split: str, number: int, seed: int, size_px: int, modalities: tuple[str, ...], max_lesions: int
) -> Sample:
    rng = np.random.default_rng([seed, number])
    modality = modalities[int(rng.integers(len(modalities)))]
    covered = [
        (row, column) for row in range(GRID) for column in range(GRID) if not (row in (0, 3) and column in (0, 3))
    ]
    if task == "count":
        lesions = int(rng.integers(0, max_lesions + 1))
    elif task == "modality":
        lesions = int(rng.integers(0, 2))
    else:
        lesions = 1
    chosen = sorted(covered[int(index)] for index in rng.choice(len(covered), lesions, replace=False))
    pixels, boxes = draw(modality, chosen, size_px, rng)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    seen = ", ".join(f"row {row + 1} column {column + 1}" for row, column in chosen)
    shared: dict[str, Any] = {
        "id": f"phantom/{task}/{number}",
        "data_source": "phantom",
        "images": [{"bytes": buffer.getvalue()}],
        "split": split,
        "modality": modality,
        "image_id": f"phantom/{number}",
        "image_size": [size_px, size_px],
        "lesion_boxes": boxes or None,
    }
    reply = "<think>{}</think><answer>{{ground_truth}}</answer>"
    if task == "count":
        return make_sample(
            question="How many lesions are in this picture?",
            ground_truth=str(lesions),
            kind="count",
            demonstration=reply.format(f"lesions at {seen}" if chosen else "no lesion"),
            **shared,
        )
    if task == "locate":
        return make_sample(
            question="Give the box of the lesion as [x1, y1, x2, y2] in pixels.",
            ground_truth=boxes[0],
            kind="box",
            demonstration=reply.format(f"lesion at {seen}"),
            **shared,
        )
    texts = ["left half", "right half"] if task == "side" else list(modalities)
    options = {chr(ord("A") + index): text for index, text in enumerate(texts)}
    answer = texts[chosen[0][1] // (GRID // 2)] if task == "side" else modality
    listing = ", ".join(f"{letter}) {text}" for letter, text in options.items())
    question = "In which half is the lesion?" if task == "side" else "What kind of picture is this?"
    return make_sample(
        question=f"{question} {listing}",
        ground_truth=next(letter for letter, text in options.items() if text == answer),
        kind="choice",
        options=options,
        demonstration=reply.format(f"lesion at {seen}" if task == "side" else f"this is {modality}"),
        **shared,
    )


def _pixels(centre: float, radius: float, size_px: int) -> tuple[int, int]:
    """First and one past the last pixel within `radius` of `centre`, both as shares of the picture."""
    return max(0, int((centre - radius) * size_px)), min(size_px, int((centre + radius) * size_px) + 2)


def _ellipse(x: np.ndarray, y: np.ndarray, cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
    """Positive inside, 1 at the centre, 0 on the rim."""
    return 1 - np.hypot((x - cx) / rx, (y - cy) / ry)


def _mottle(x: np.ndarray, y: np.ndarray, rng: np.random.Generator, waves: int = 5) -> np.ndarray:
    """Smooth tissue texture in -1..1: a few random plane waves, each as two outer products of sines along the axes."""
    frequencies, phases = rng.normal(0, 2.2, (waves, 2)) * 2 * np.pi, rng.uniform(0, 2 * np.pi, (waves, 1))
    along_x = frequencies[:, :1] * x[0] + phases  # (waves, size)
    along_y = frequencies[:, 1:] * y[:, 0]
    # sin(a + b) = sin a cos b + cos a sin b, summed over the waves by a matrix product
    total = np.cos(along_y).T @ np.sin(along_x) + np.sin(along_y).T @ np.cos(along_x)
    return (total / waves).astype(np.float32)


def _grey(value: np.ndarray) -> np.ndarray:
    return np.repeat(np.clip(value, 0, 1)[..., None], 3, axis=-1)


def _ct(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    body = _ellipse(x, y, 0.5, 0.5, 0.56, 0.50)
    value = np.where(body > 0, 0.34 + 0.04 * _mottle(x, y, rng), 0.02)
    value = np.where((body > 0) & (body < 0.07), 0.62, value)  # skin and ribs
    spine = _ellipse(x, y, 0.5, 0.93, 0.07, 0.06)
    return _grey(np.where(spine > 0, 0.8, value))


def _mri(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    head = _ellipse(x, y, 0.5, 0.5, 0.5, 0.54)
    value = np.where(head > 0, 0.30 + 0.08 * np.sin(18 * head + 3 * _mottle(x, y, rng, 3)), 0.01)
    value = np.where((head > 0.02) & (head < 0.07), 0.66, value)  # scalp fat
    return _grey(value - 0.10 * (np.abs(x - 0.5) < 0.012) * (head > 0.1))


def _xray(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    lungs = np.maximum(_ellipse(x, y, 0.28, 0.5, 0.26, 0.48), _ellipse(x, y, 0.72, 0.5, 0.26, 0.48))
    value = 0.50 - 0.22 * np.clip(lungs * 4, 0, 1) + 0.03 * _mottle(x, y, rng)
    ribs = np.sin(2 * np.pi * (y * 6 + 2.2 * (x - 0.5) ** 2 + rng.uniform()))
    return _grey(value + 0.045 * np.clip(ribs, 0, 1))


def _ultrasound(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    radius, angle = np.hypot(x - 0.5, y + 0.25), np.abs(np.arctan2(x - 0.5, y + 0.25))
    fan = (radius < 1.24) & (radius > 0.25) & (angle < 0.62)
    value = 0.30 + 0.10 * _mottle(x, y, rng, 7) - 0.10 * radius
    return _grey(np.where(fan, value, 0.01))


def _fundus(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    eye = _ellipse(x, y, 0.5, 0.5, 0.53, 0.53)
    shade = (0.75 + 0.25 * np.clip(eye, 0, 1) + 0.05 * _mottle(x, y, rng))[..., None]
    picture = shade * np.asarray([0.72, 0.33, 0.14], np.float32)
    disc = np.clip(_ellipse(x, y, 0.06 if rng.uniform() < 0.5 else 0.94, 0.5, 0.09, 0.10) * 4, 0, 1)[..., None]
    vessel = np.zeros_like(x)
    for sign in (-1, 1):
        bend = 0.5 + sign * (0.08 + 0.55 * np.sqrt(np.clip(np.abs(x - 0.06), 0, 1)) * 0.7)
        vessel = np.maximum(vessel, np.clip(1 - np.abs(y - bend) / 0.012, 0, 1))
    picture = picture * (1 - 0.45 * vessel[..., None]) * (1 - disc) + disc * np.asarray([0.95, 0.75, 0.45], np.float32)
    return np.where(eye[..., None] > 0, picture, 0.02).astype(np.float32)


def _microscopy(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    stroma = (0.06 * _mottle(x, y, rng, 8))[..., None]
    picture = np.asarray([0.90, 0.74, 0.84], np.float32) + stroma
    centres = rng.uniform(0, 1, (14, 2)).astype(np.float32)  # small pale nuclei that are no lesions
    squares = (x[0] - centres[:, :1])[:, None, :] ** 2 + (y[:, 0] - centres[:, 1:])[
        :, :, None
    ] ** 2  # (nuclei, size, size)
    blob = np.clip((1 - np.sqrt(squares.min(0)) / 0.022) * 3, 0, 1)[..., None]
    picture = picture * (1 - 0.5 * blob) + 0.5 * blob * np.asarray([0.66, 0.48, 0.74], np.float32)
    return picture.astype(np.float32)


_BODY = {
    "CT": _ct,
    "MRI": _mri,
    "X-ray": _xray,
    "ultrasound": _ultrasound,
    "fundus photograph": _fundus,
    "microscopy": _microscopy,
}
_LESION_COLOUR = {
    "CT": (0.86, 0.86, 0.86),
    "MRI": (0.95, 0.95, 0.95),
    "X-ray": (0.97, 0.97, 0.97),
    "ultrasound": (0.80, 0.80, 0.80),
    "fundus photograph": (0.98, 0.93, 0.60),
    "microscopy": (0.30, 0.12, 0.45),
}
