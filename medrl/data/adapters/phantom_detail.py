"""A phantom task that needs a second look: the lesion is seen from afar, the pattern inside it is not.

The picture has four times the side the model is given. Patterns have a period of four pixels and one mean, so they are
gone in the reduced copy and plain in a crop. The colour of the background runs with the place (`ramp`): a crutch, since
a model this small knows no absolute position. It is a test article: learning it says nothing about patients.
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
    ramp: float = 0.3,
    tool: str | None = "zoom",
) -> Iterator[Sample | Refused]:
    """Yield `n` pictures with one lesion and the question what pattern it has.

    `tool`: name of the zoom tool; every other demonstration uses it, the others answer at once (a fair floor for looking
    once). None: all answer at once. `root` is not used. Raises MedrlError for a split that does not exist.
    """
    if split not in SPLIT_OFFSET:
        raise MedrlError(f"phantom_detail: unknown split {split!r}; expected one of {', '.join(SPLIT_OFFSET)}.")
    for number in range(n):
        yield _item(split, SPLIT_OFFSET[split] + number, seed, size_px, ramp, tool)


def _item(split: str, number: int, seed: int, size_px: int, ramp: float, tool: str | None) -> Sample:
    rng = np.random.default_rng([seed, number])
    row, column = (int(index) for index in rng.integers(0, GRID, 2))
    kind = int(rng.integers(len(PATTERNS)))
    options = dict(zip("ABCD", PATTERNS))
    buffer = io.BytesIO()
    Image.fromarray(_draw(row, column, PATTERNS[kind], size_px, ramp, rng)).save(buffer, "PNG", compress_level=1)
    cell = size_px // GRID
    box = [column * cell, row * cell, (column + 1) * cell, (row + 1) * cell]
    return make_sample(
        id=f"phantom_detail/{number}",
        data_source="phantom_detail",
        question="Look inside the lesion. A) rows, B) columns, C) squares, D) plain",
        images=[{"bytes": buffer.getvalue()}],
        ground_truth="ABCD"[kind],
        kind="choice",
        options=options,
        split=split,
        image_id=f"phantom_detail/{number}",
        image_size=[size_px, size_px],
        lesion_boxes=[box],
        demonstration=_demonstration(PATTERNS[kind], row, column, box, tool if number % 2 == 0 else None),
    )


def _demonstration(pattern: str, row: int, column: int, box: list[int], tool: str | None) -> list[str]:
    answer = f"<think>{pattern}</think><answer>{{ground_truth}}</answer>"
    if tool is None:
        return [answer]
    call = f'{{"name": "{tool}", "arguments": {{"bbox_2d": {{box {" ".join(map(str, box))}}}}}}}'
    return [f"<think>row {row + 1} column {column + 1}</think><tool_call>{call}</tool_call>", answer]


def _draw(row: int, column: int, pattern: str, size_px: int, ramp: float, rng: np.random.Generator) -> Any:
    """uint8 (size_px, size_px, 3)."""
    y, x = np.mgrid[0:size_px, 0:size_px].astype(np.float32) / size_px
    grey = 0.25 + 0.02 * rng.standard_normal((size_px, size_px), dtype=np.float32)
    picture = np.stack([grey + ramp * x, grey, grey + ramp * y], axis=-1)
    cell = size_px // GRID
    lines, across = np.mgrid[0:cell, 0:cell]
    shift = rng.integers(0, PERIOD_PX, 2)
    on_row = (lines + shift[0]) % PERIOD_PX < PERIOD_PX // 2
    on_column = (across + shift[1]) % PERIOD_PX < PERIOD_PX // 2
    mean = np.full((cell, cell), 0.5)
    texture = {"rows": on_row, "columns": on_column, "squares": on_row ^ on_column, "plain": mean}[pattern]
    inside = np.hypot(lines - cell / 2, across - cell / 2) < RADIUS * cell
    place = picture[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]  # a view
    place[inside] = (0.35 + 0.6 * texture.astype(np.float32))[inside, None]
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8)
