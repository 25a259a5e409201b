"""A phantom task that needs a second look: sixteen lesions are seen from afar, the pattern inside each is not.

The picture has four times the side the model is given. Patterns have a period of four pixels and one mean, so they are
gone in the reduced copy and plain in a crop. The question says which lesion is meant, so that what has to be learnt is to
look there. It is a test article: learning it says nothing about patients.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medrl.data.adapters.phantom import GRID, SPLIT_OFFSET
from medrl.data.sample import Refused, Sample, make_sample
from medrl.errors import MedrlError

PATTERNS = ("rows", "columns", "squares", "plain")
PERIOD_PX = 4
RADIUS = 0.42  # of a cell


def read(
    root: Path | None,
    split: str,
    *,
    n: int = 512,
    seed: int = 0,
    size_px: int = 448,
    tool: str | None = "zoom",
) -> Iterator[Sample | Refused]:
    """Yield `n` pictures of lesions and the question what pattern one of them has.

    `tool`: name of the zoom tool; every other demonstration uses it, the others answer at once (a fair floor for looking
    once). None: all answer at once. `root` is not used. Raises MedrlError for a split that does not exist.
    """
    if split not in SPLIT_OFFSET:
        raise MedrlError(f"phantom_detail: unknown split {split!r}; expected one of {', '.join(SPLIT_OFFSET)}.")
    for number in range(n):
        yield _item(split, SPLIT_OFFSET[split] + number, seed, size_px, tool)


def _item(split: str, number: int, seed: int, size_px: int, tool: str | None) -> Sample:
    rng = np.random.default_rng([seed, number])
    row, column = (int(index) for index in rng.integers(0, GRID, 2))
    kinds = rng.integers(0, len(PATTERNS), (GRID, GRID))
    kind = int(kinds[row, column])
    options = dict(zip("ABCD", PATTERNS))
    buffer = io.BytesIO()
    Image.fromarray(_draw(kinds, size_px, rng)).save(buffer, "PNG", compress_level=1)
    cell = size_px // GRID
    box = [column * cell, row * cell, (column + 1) * cell, (row + 1) * cell]
    return make_sample(
        id=f"phantom_detail/{number}",
        data_source="phantom_detail",
        question=f"What is inside the lesion at row {row + 1} column {column + 1}? A) rows, B) columns, C) squares, D) plain",
        images=[{"bytes": buffer.getvalue()}],
        ground_truth="ABCD"[kind],
        kind="choice",
        options=options,
        split=split,
        image_id=f"phantom_detail/{number}",
        image_size=[size_px, size_px],
        lesion_boxes=[box],
        demonstration=_demonstration(PATTERNS[kind], box, tool if number % 2 == 0 else None),
    )


def _demonstration(pattern: str, box: list[int], tool: str | None) -> list[str]:
    answer = f"<think>{pattern}</think><answer>{{ground_truth}}</answer>"
    if tool is None:
        return [answer]
    call = f'{{"name": "{tool}", "arguments": {{"bbox_2d": {{box {" ".join(map(str, box))}}}}}}}'
    return [f"<think>look there</think><tool_call>{call}</tool_call>", answer]


def _draw(kinds: Any, size_px: int, rng: np.random.Generator) -> Any:
    """uint8 (size_px, size_px), grey; `kinds`: (GRID, GRID) which pattern each cell has."""
    grey = 0.25 + 0.02 * rng.standard_normal((size_px, size_px), dtype=np.float32)
    cell = size_px // GRID
    lines, across = np.mgrid[0:cell, 0:cell]
    inside = np.hypot(lines - cell / 2, across - cell / 2) < RADIUS * cell
    for row in range(GRID):
        for column in range(GRID):
            shift = rng.integers(0, PERIOD_PX, 2)
            on_row = (lines + shift[0]) % PERIOD_PX < PERIOD_PX // 2
            on_column = (across + shift[1]) % PERIOD_PX < PERIOD_PX // 2
            textures = (on_row, on_column, on_row ^ on_column, np.full((cell, cell), 0.5))
            place = grey[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]  # a view
            place[inside] = (0.35 + 0.6 * textures[kinds[row, column]].astype(np.float32))[inside]
    return (np.clip(grey, 0, 1) * 255).astype(np.uint8)
