"""Pictures of one side that occur on the other: the same file, the same pixels, or a resized or re-encoded copy.

Candidates are pairs whose perceptual hashes differ in few bits, over all pairs by popcount; a pair is a copy when the
details agree as well. Crops, flips and rotations are not looked for. `benchmarks/duplicates.py` measures recall and
false alarms on real pictures.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medrl.data.fingerprints import Fingerprint

PHASH_BITS, DHASH_BITS = 10, 8  # of 64: copies differ in fewer; wide, because the details decide
CORRELATION = 0.95  # of the details: copies of 739 real pictures reached 0.98, different ones at most 0.92
TEXTURE_CORRELATION = 0.86  # parts pictures that share an outline: a head in its frame, an empty field
ROWS, COLUMNS = 256, 4096  # of the matrix of all pairs, worked on at a time
LEVELS = ("bytes", "pixels", "near")  # the surest first


@dataclass(frozen=True)
class Copy:
    """Picture `index` of the second side and the picture of the first it resembles most; `how` is one of LEVELS."""

    index: int
    other: int
    how: str
    correlation: float


def find_copies(first: Sequence[Fingerprint], second: Sequence[Fingerprint]) -> list[Copy]:
    """For every picture of `second` that is in `first`, its surest partner there; in the order of `second`."""
    by_file = {one.file_sha256: place for place, one in reversed(list(enumerate(first)))}
    by_pixels = {one.pixels_sha256: place for place, one in reversed(list(enumerate(first)))}
    copies: dict[int, Copy] = {}
    rest = []
    for index, one in enumerate(second):
        if (place := by_file.get(one.file_sha256)) is not None:
            copies[index] = Copy(index, place, "bytes", 1.0)
        elif (place := by_pixels.get(one.pixels_sha256)) is not None:
            copies[index] = Copy(index, place, "pixels", 1.0)
        elif one.details is not None:
            rest.append(index)
    copies |= _near(first, second, rest)
    return [copies[index] for index in sorted(copies)]


def count_levels(copies: Sequence[Copy]) -> dict[str, int]:
    """How many copies of each level."""
    counts = Counter(copy.how for copy in copies)
    return {level: counts[level] for level in LEVELS}


def _near(first: Sequence[Fingerprint], second: Sequence[Fingerprint], rest: Sequence[int]) -> dict[int, Copy]:
    """The best partner of each picture in `rest` whose hashes and details agree."""
    there = [place for place, one in enumerate(first) if one.details is not None]
    found: dict[int, Copy] = {}
    for start in range(0, len(there), COLUMNS):
        columns = there[start : start + COLUMNS]
        hashes_a = _hashes([first[place] for place in columns])
        for begin in range(0, len(rest), ROWS):
            rows = rest[begin : begin + ROWS]
            near = _candidates(_hashes([second[index] for index in rows]), hashes_a)  # (rows, columns)
            some_rows, some_columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
            if not len(some_rows):
                continue
            ours, theirs = [second[rows[row]] for row in some_rows], [first[columns[column]] for column in some_columns]
            alike = _details(ours) @ _details(theirs).T  # (some rows, some columns)
            alike[~near[np.ix_(some_rows, some_columns)]] = -1.0
            alike[_texture(ours) @ _texture(theirs).T < TEXTURE_CORRELATION] = -1.0
            best = alike.argmax(1)
            for row, column, value in zip(some_rows, best, alike[np.arange(len(best)), best]):
                index = rows[row]
                if value >= CORRELATION and (index not in found or value > found[index].correlation):
                    found[index] = Copy(index, columns[some_columns[column]], "near", round(float(value), 4))
    return found


def _candidates(hashes_b: np.ndarray, hashes_a: np.ndarray) -> np.ndarray:
    """(rows, columns) true where one of the hashes is near. hashes: (n, 2) uint64, pHash and dHash."""
    distance = np.bitwise_count(hashes_b[:, None, :] ^ hashes_a[None, :, :])  # (rows, columns, 2)
    near: np.ndarray = (distance[..., 0] <= PHASH_BITS) | (distance[..., 1] <= DHASH_BITS)
    return near


def _hashes(pictures: Sequence[Fingerprint]) -> np.ndarray:
    return np.array([(one.phash, one.dhash) for one in pictures], dtype=np.uint64).reshape(-1, 2)


def _details(pictures: Sequence[Fingerprint]) -> np.ndarray:
    return np.stack([one.details for one in pictures if one.details is not None]).astype(np.float32)


def _texture(pictures: Sequence[Fingerprint]) -> np.ndarray:
    return np.stack([one.texture for one in pictures if one.texture is not None]).astype(np.float32)
