"""BCCD blood smears (Pascal-VOC boxes, MIT): name the cell in the centre, count one kind, or box the white cell.

Splits are the official lists in ImageSets/Main. Edges are taken as they stand, between pixels: they run to 640 x 480
inclusive. Looking at the pictures showed slips, which are refused: boxes without area, three swapped labels, and
pictures without one red (15) or white (6) box although such cells are in view. Crowded red cells are not all boxed.
"""

import io
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from medrl.data.demonstration import reply_with, tell_places
from medrl.data.options import letter_options, list_options
from medrl.data.published import check_one_of, find_file, find_folder
from medrl.data.sample import Refused, Sample, make_sample
from medrl.data.splits import hashed_share
from medrl.errors import MedrlError
from medrl.vision.boxes import is_box
from medrl.vision.open import image_size, open_image

SPLITS = ("train", "val", "test", "trainval")
TASKS = ("cell_kind", "count", "box")
KINDS = {"RBC": "red blood cell", "WBC": "white blood cell", "Platelets": "platelet"}
SMALL_BELOW_PX, LARGE_FROM_PX = 75, 150  # longer side of the box in the 640 x 480 picture
CELL_SIZE_PX = 112
# Beyond this a label is wrong: true platelets reach 79 px, true white cells begin at 96 px, and the three boxes on the
# wrong side (31, 143, 167 px) are plainly the other kind when looked at.
PLATELET_BELOW_PX = WHITE_CELL_FROM_PX = 90


@dataclass(frozen=True)
class Cell:
    """One annotated box, [left, top, right, bottom] in pixels of the published picture."""

    kind: str
    box_px: tuple[int, int, int, int]


@dataclass(frozen=True)
class Picture:
    """One annotated picture; `name` is its stem in the official lists, `path` relative to the root."""

    name: str
    path: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class CellView:
    """How single cells are shown and asked about; see `read`."""

    size_px: int
    view_px: int
    shuffle_options: bool
    seed: int


def read(
    root: Path,
    split: str,
    *,
    task: str = "cell_kind",
    cell: str = "Platelets",
    size_px: int | None = None,
    view_px: int = 160,
    per_kind: int | None = None,
    shuffle_options: bool = False,
    seed: int = 0,
) -> Iterator[Sample | Refused]:
    """Yield the samples of one task in the order of the official list.

    `cell_kind`: a square of `view_px` around each box (of the box's longer side where that is more), resized to
    `size_px` (None: 112); at most `per_kind` of each kind, spread over the pictures by `seed`; `shuffle_options` mixes
    the letters. `count`: how many of `cell`. `box`: the white cell of pictures that have exactly one. These two show
    the published file, or with `size_px` the whole picture squeezed into that square; boxes are in pixels as shown.
    Raises MedrlError for an unknown split, task or cell and for missing folders.
    """
    check_one_of("bccd", "split", split, SPLITS)
    check_one_of("bccd", "task", task, TASKS)
    check_one_of("bccd", "cell", cell, KINDS)
    folder = find_folder("bccd", root, "BCCD", ("Annotations", "ImageSets", "JPEGImages"))
    names = find_file("bccd", folder / "ImageSets" / "Main", (f"{split}.txt",)).read_text(encoding="utf-8").split()
    pictures = (_parse(root, folder, name) for name in names)
    if task == "cell_kind":
        view = CellView(size_px or CELL_SIZE_PX, view_px, shuffle_options, seed)
        yield from _cell_kinds(root, split, list(pictures), per_kind, view)
        return
    for picture in pictures:
        if isinstance(picture, Refused):
            yield picture
        elif task == "count":
            yield _count(root, split, picture, cell, size_px)
        else:
            yield _box(root, split, picture, size_px)


def _parse(root: Path, folder: Path, name: str) -> Picture | Refused:
    """One picture with its boxes. The list's name counts, not the <filename> inside, which people rename past."""
    annotation = folder / "Annotations" / f"{name}.xml"
    try:
        tree = ElementTree.parse(annotation).getroot()
        cells = []
        for thing in tree.iter("object"):
            # by tag name, never by order: the repository's own test.csv orders its columns x, x, y, y
            edges = [int(float(thing.findtext(f"bndbox/{edge}", ""))) for edge in ("xmin", "ymin", "xmax", "ymax")]
            cells.append(Cell(thing.findtext("name", "").strip(), (edges[0], edges[1], edges[2], edges[3])))
    except (OSError, ValueError, ElementTree.ParseError) as error:
        return Refused(annotation.name, f"the annotation is not readable Pascal-VOC: {error}")
    picture = folder / "JPEGImages" / f"{name}.jpg"
    return Picture(name, picture.relative_to(root).as_posix(), tuple(cells))


def _fault(cell: Cell) -> str | None:
    """Why a box cannot be used, or None."""
    if cell.kind not in KINDS:
        return f"unknown kind of cell {cell.kind!r}; expected one of {', '.join(KINDS)}"
    if not is_box(cell.box_px):
        return f"the {cell.kind} box {list(cell.box_px)} has no area"
    longer = _longer_px(cell)
    if (cell.kind == "Platelets" and longer >= PLATELET_BELOW_PX) or (
        cell.kind == "WBC" and longer < WHITE_CELL_FROM_PX
    ):
        return f"the {cell.kind} box {list(cell.box_px)} is labelled wrongly: no such cell is {longer} px long"
    return None


def _longer_px(cell: Cell) -> int:
    left, top, right, bottom = cell.box_px
    return max(right - left, bottom - top)


def _cell_kinds(
    root: Path, split: str, pictures: list[Picture | Refused], per_kind: int | None, view: CellView
) -> Iterator[Sample | Refused]:
    chosen = _spread([picture for picture in pictures if isinstance(picture, Picture)], per_kind, view.seed)
    for picture in pictures:
        if isinstance(picture, Refused):
            yield picture
            continue
        wanted = [
            (number, cell)
            for number, cell in enumerate(picture.cells)
            if (picture.name, number) in chosen or _fault(cell)  # a faulty box is told, whoever was drawn
        ]
        try:
            whole = open_image({"path": picture.path}, root) if wanted else None
        except MedrlError as error:
            yield Refused(picture.path, str(error))
            continue
        for number, cell in wanted:
            if fault := _fault(cell):
                yield Refused(f"{picture.name}.xml object {number + 1}", fault)
            elif whole is not None:
                yield _cell_kind(split, picture, number, whole, view)


def _spread(pictures: list[Picture], per_kind: int | None, seed: int) -> set[tuple[str, int]]:
    """(picture, box number) of the cells to use: one from every picture before a second from any."""
    ranked: dict[str, list[tuple[int, float, str, int]]] = {kind: [] for kind in KINDS}
    for picture in pictures:
        drawn = [
            (hashed_share(seed, f"{picture.name}/{number}"), number, cell.kind)
            for number, cell in enumerate(picture.cells)
            if _fault(cell) is None
        ]
        turn: Counter[str] = Counter()  # how many of a kind this picture has given so far
        for share, number, kind in sorted(drawn):
            ranked[kind].append((turn[kind], share, picture.name, number))
            turn[kind] += 1
    return {(name, number) for cells in ranked.values() for _, _, name, number in sorted(cells)[:per_kind]}


def _cell_kind(split: str, picture: Picture, number: int, whole: Image.Image, view: CellView) -> Sample:
    cell = picture.cells[number]
    left, top, right, bottom = cell.box_px
    longer = _longer_px(cell)
    side = max(longer, view.view_px)  # one view for all but the largest: how big the cell is stays visible
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    crop = whole.crop(
        (x, y, x + side, y + side)
    )  # black beyond the picture's edge, so that the cell stays in the centre
    order = list(KINDS.values())
    if view.shuffle_options:
        order.sort(key=lambda words: hashed_share(view.seed, f"{picture.name}/{number}/{words}"))
    options = letter_options(order)
    words = KINDS[cell.kind]
    size = "small" if longer < SMALL_BELOW_PX else "large" if longer >= LARGE_FROM_PX else "medium"
    return make_sample(
        id=f"bccd/cell_kind/{picture.name}/{number}",
        data_source="bccd",
        question=list_options("Which kind of cell is in the centre of the picture?", options),
        images=[{"bytes": _png(crop.resize((view.size_px, view.size_px), Image.Resampling.BICUBIC))}],
        ground_truth=next(letter for letter, text in options.items() if text == words),
        kind="choice",
        split=split,
        options=options,
        image_id=f"bccd/{picture.name}",
        image_size=[view.size_px, view.size_px],
        modality="microscopy",
        box_px_original=list(cell.box_px),
        demonstration=reply_with(f"a {size} cell, {words}"),
    )


def _count(root: Path, split: str, picture: Picture, cell: str, size_px: int | None) -> Sample | Refused:
    counted = [one for one in picture.cells if one.kind == cell]
    if fault := next((fault for one in counted if (fault := _fault(one))), None):
        return Refused(f"{picture.name}.xml", f"{fault}, so the cells cannot be counted")
    if not counted and cell != "Platelets":  # every picture shows red cells, and was taken for its white cell
        return Refused(f"{picture.name}.xml", f"no {cell} box, though {KINDS[cell]}s are in view: not annotated")
    shown = _show(root, picture, size_px)
    if isinstance(shown, Refused):
        return shown
    image, size, scale = shown
    boxes = [_scaled(one.box_px, scale) for one in counted]
    return make_sample(
        id=f"bccd/count/{cell}/{picture.name}",
        question=f"How many {KINDS[cell]}s are in this picture?",
        ground_truth=str(len(counted)),
        kind="count",
        boxes=boxes or None,
        demonstration=reply_with(f"{KINDS[cell]}s at {tell_places(boxes, size)}" if boxes else f"no {KINDS[cell]}"),
        **_shared(split, picture, image, size),
    )


def _box(root: Path, split: str, picture: Picture, size_px: int | None) -> Sample | Refused:
    white = [one for one in picture.cells if one.kind == "WBC"]
    if len(white) != 1:
        return Refused(f"{picture.name}.xml", f"{len(white)} WBC boxes; the question needs exactly one")
    if fault := _fault(white[0]):
        return Refused(f"{picture.name}.xml", fault)
    shown = _show(root, picture, size_px)
    if isinstance(shown, Refused):
        return shown
    image, size, scale = shown
    box = _scaled(white[0].box_px, scale)
    if not is_box(box):
        return Refused(f"{picture.name}.xml", f"the WBC box {box} has no area in a picture of {size[0]} x {size[1]}")
    return make_sample(
        id=f"bccd/box/{picture.name}",
        question="Give the box of the white blood cell as [x1, y1, x2, y2] in pixels.",
        ground_truth=[*box],
        kind="box",
        demonstration=reply_with(f"white blood cell at {tell_places([box], size)}"),
        **_shared(split, picture, image, size),
    )


def _shared(split: str, picture: Picture, image: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    return {
        "data_source": "bccd",
        "images": [image],
        "split": split,
        "image_id": f"bccd/{picture.name}",
        "image_size": list(size),
        "modality": "microscopy",
    }


def _show(
    root: Path, picture: Picture, size_px: int | None
) -> tuple[dict[str, Any], tuple[int, int], tuple[float, float]] | Refused:
    """The picture as the model gets it, its (width, height), and by what x and y coordinates were scaled."""
    source = {"path": picture.path}
    try:
        width, height = image_size(source, root)
        if size_px is None:
            return source, (width, height), (1.0, 1.0)
        small = open_image(source, root).resize((size_px, size_px), Image.Resampling.BICUBIC)
    except MedrlError as error:
        return Refused(picture.path, str(error))
    return {"bytes": _png(small)}, (size_px, size_px), (size_px / width, size_px / height)


def _scaled(box_px: tuple[int, int, int, int], scale: tuple[float, float]) -> list[int]:
    return [round(edge * scale[axis % 2]) for axis, edge in enumerate(box_px)]


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
