"""A phantom task that needs a second look: where the lesion is can be seen from afar, the pattern inside it cannot.

The picture is `grid` times as wide as one place, 112 pixels, and the model is given no more than that. Patterns have a
period of `grid` pixels and one mean, so they are gone in the reduced copy and plain in a crop. A slope of colour over the
picture is a crutch: it tells a tiny model where a thing lies, which it would learn from grey alone too slowly.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medrl.data.adapters.phantom import SPLIT_OFFSET
from medrl.data.sample import Refused, Sample, make_sample
from medrl.errors import MedrlError

PATTERNS = ("rows", "columns", "squares", "plain")
PLACE_PX = 112
RADIUS, FADES = 0.42, 0.25  # of a place: the disc's, and how far from its edge a pattern is at its full


def read(
    root: Path | None,
    split: str,
    *,
    n: int = 512,
    seed: int = 0,
    grid: int = 4,
    size_px: int | None = None,
    slope: bool = True,
    tool: str | None = "zoom",
    look_share: float = 0.5,
) -> Iterator[Sample | Refused]:
    """Yield `n` pictures with one lesion in one of `grid` x `grid` places and the question what pattern it has.

    `grid`: 2 or 4. `size_px`: side of the picture, 112 a place by default. `slope`: of colour; without, the picture is
    grey. `tool`: name of the zoom tool; `look_share` of the demonstrations use it, the others answer at once (a fair floor
    for looking once). None: all answer at once. `root` is not used. Raises MedrlError for a split or a grid that does not exist.
    """
    if grid not in (2, 4):
        raise MedrlError(f"phantom_detail: grid={grid!r}; expected 2 or 4, so that patterns have whole pixels.")
    if split not in SPLIT_OFFSET:
        raise MedrlError(f"phantom_detail: unknown split {split!r}; expected one of {', '.join(SPLIT_OFFSET)}.")
    for number in range(n):
        looks = int((number + 1) * look_share) > int(number * look_share)  # spread evenly
        side = size_px or grid * PLACE_PX
        yield _item(split, SPLIT_OFFSET[split] + number, seed, grid, side, slope, tool if looks else None)


def _item(split: str, number: int, seed: int, grid: int, size_px: int, slope: bool, tool: str | None) -> Sample:
    rng = np.random.default_rng([seed, number])
    row, column = (int(index) for index in rng.integers(0, grid, 2))
    kind = int(rng.integers(0, len(PATTERNS)))
    buffer = io.BytesIO()
    grey = _draw(kind, row, column, grid, size_px, rng)
    Image.fromarray(_coloured(grey) if slope else _eight_bit(grey)).save(buffer, "PNG", compress_level=1)
    cell = size_px // grid
    box = [column * cell, row * cell, (column + 1) * cell, (row + 1) * cell]
    return make_sample(
        id=f"phantom_detail/{number}",
        data_source="phantom_detail",
        question="What is inside the lesion? A) rows, B) columns, C) squares, D) plain",
        images=[{"bytes": buffer.getvalue()}],
        ground_truth="ABCD"[kind],
        kind="choice",
        options=dict(zip("ABCD", PATTERNS)),
        split=split,
        image_id=f"phantom_detail/{number}",
        image_size=[size_px, size_px],
        lesion_boxes=[box],
        demonstration=_demonstration(PATTERNS[kind], box, tool),
    )


def _demonstration(pattern: str, box: list[int], tool: str | None) -> list[str]:
    answer = f"<think>{pattern}</think><answer>{{ground_truth}}</answer>"
    if tool is None:
        return [answer]
    call = f'{{"name": "{tool}", "arguments": {{"bbox_2d": {{box {" ".join(map(str, box))}}}}}}}'
    return [f"<think>look there</think><tool_call>{call}</tool_call>", answer]


def _draw(kind: int, row: int, column: int, grid: int, size_px: int, rng: np.random.Generator) -> Any:
    """float32 (size_px, size_px), about 0 to 1: a disc in one place of the grid, with pattern `kind`.

    A pattern fades towards the edge of its disc: cut off there, it would leave a trace in the reduced picture.
    """
    cell = size_px // grid
    coarse = rng.standard_normal((-(-size_px // grid),) * 2, dtype=np.float32)  # seen from afar as it is from near
    grey = 0.25 + 0.02 * np.kron(coarse, np.ones((grid, grid), np.float32))[:size_px, :size_px]
    lines, across = np.mgrid[0:cell, 0:cell]
    from_edge = RADIUS * cell - np.hypot(lines - cell / 2, across - cell / 2)
    contrast = 0.3 * np.sin(np.clip(from_edge / (FADES * cell), 0, 1) * np.pi / 2) ** 2
    on_row, on_column = lines % grid < grid // 2, across % grid < grid // 2
    sign = (2 * on_row - 1, 2 * on_column - 1, 2 * (on_row ^ on_column) - 1, 0)[kind]
    place = grey[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]  # a view
    place += np.where(from_edge > 0, 0.4 + contrast * sign, 0)
    return grey


def _coloured(grey: Any) -> Any:
    """uint8 (side, side, 3): red grows to the right, blue downwards."""
    slope = np.linspace(0.2, 1, len(grey), dtype=np.float32)
    return _eight_bit(np.stack([grey * slope, grey, grey * slope[:, None]], -1))


def _eight_bit(values: Any) -> Any:
    return (np.clip(values, 0, 1) * 255).astype(np.uint8)
