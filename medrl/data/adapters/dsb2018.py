"""Data Science Bowl 2018 nuclei (one mask file per nucleus, CC0): count the nuclei, or box every one.

The published stage1_train has no split, so each picture goes where the hash of its id sends it. A box is the extent
of a mask, its right and bottom edge one past the last pixel.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medrl.data.demonstration import reply_with, tell_places
from medrl.data.published import check_one_of, find_folder, what_is_there
from medrl.data.sample import Refused, Sample, make_sample
from medrl.data.splits import FRACTIONS, check_fractions, split_of
from medrl.errors import MedrlError
from medrl.vision.open import image_size, open_image

TASKS = ("count", "boxes")


def read(
    root: Path, split: str, *, task: str = "count", fractions: Mapping[str, float] = FRACTIONS, seed: int = 0
) -> Iterator[Sample | Refused]:
    """Yield one sample a picture, in the order of the ids; `split` is a name in `fractions`, or `all`.

    A picture with an empty mask or one of another size is refused: neither its count nor its boxes can be trusted.
    """
    check_one_of("dsb2018", "task", task, TASKS)
    check_fractions(fractions)
    check_one_of("dsb2018", "split", split, (*fractions, "all"))
    folder = find_folder("dsb2018", root, "stage1_train")
    pictures = sorted(path for path in folder.iterdir() if (path / "images").is_dir())
    if not pictures:
        raise MedrlError(
            f"dsb2018: no <id>/images/ in {folder}; {what_is_there(folder)}. Give the folder with stage1_train/."
        )
    for picture in pictures:
        if split in ("all", split_of(f"dsb2018/{picture.name}", fractions, seed)):
            yield _sample(root, split, picture, task)


def _sample(root: Path, split: str, folder: Path, task: str) -> Sample | Refused:
    images = sorted(folder.glob("images/*.png"))
    if len(images) != 1:
        return Refused(folder.name, f"{len(images)} pictures in images/; expected one")
    image = {"path": images[0].relative_to(root).as_posix()}
    try:
        size = image_size(image, root)
        boxes = _boxes(root, folder, size)
    except MedrlError as error:
        return Refused(folder.name, str(error))
    if isinstance(boxes, str):
        return Refused(folder.name, boxes)
    shared: dict[str, Any] = {
        "id": f"dsb2018/{task}/{folder.name}",
        "data_source": "dsb2018",
        "images": [image],
        "split": split,
        "image_id": f"dsb2018/{folder.name}",
        "image_size": list(size),
        "modality": "microscopy",
        "demonstration": reply_with(f"nuclei at {tell_places(boxes, size)}"),
    }
    if task == "count":
        return make_sample(
            question="How many cell nuclei are in this picture?",
            ground_truth=str(len(boxes)),
            kind="count",
            boxes=boxes,
            **shared,
        )
    return make_sample(
        question="Give the box of every cell nucleus as a list of [x1, y1, x2, y2] in pixels.",
        ground_truth=json.dumps(boxes),
        kind="boxes",
        **shared,
    )


def _boxes(root: Path, folder: Path, size: tuple[int, int]) -> list[list[int]] | str:
    """The extent of every mask in reading order, or what is wrong with the masks."""
    boxes = []
    for path in sorted(folder.glob("masks/*.png")):
        mask = open_image({"path": path.relative_to(root).as_posix()}, root)
        if mask.size != size:
            return f"mask {path.name} is {mask.width} x {mask.height} but the picture is {size[0]} x {size[1]}"
        extent = mask.getbbox()  # right and bottom are exclusive; None when all is black
        if extent is None:
            return f"mask {path.name} is empty"
        boxes.append(list(extent))
    return sorted(boxes, key=lambda box: (box[1], box[0], box[3], box[2])) or "no masks in masks/"
