"""VQA-RAD in the MEVF layout (CC0): questions by clinicians about radiology images, closed and open.

As published, every test image also occurs in train: `train_disjoint` is train without those images, and the only
training split after which the test score speaks of unseen images. Records repeated word for word are used once.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medrl.data.published import as_text, check_one_of, find_folder, read_json_list
from medrl.data.sample import Refused, Sample, make_sample

FILES = {"train": "trainset.json", "test": "testset.json", "train_disjoint": "trainset.json"}
QUESTION_TYPES = {"ATRIB": "ATTRIB", "PRSE": "PRES"}  # misspelt in a handful of records


def read(root: Path, split: str, *, closed_only: bool = False) -> Iterator[Sample | Refused]:
    """Yield the records of `train`, `test` or `train_disjoint` in file order; `closed_only` leaves the open ones out.

    Closed questions answered yes or no get kind "yes_no", all others "open_short".
    """
    check_one_of("vqa_rad", "split", split, FILES)
    folder = find_folder("vqa_rad", root, "data_RAD", sorted(set(FILES.values())))
    test_images = set()
    if split == "train_disjoint":
        test_images = {_field(record, "image_name") for record in read_json_list("vqa_rad", folder / FILES["test"])}
    first_seen: dict[tuple[str, str, str], str] = {}
    for number, record in enumerate(read_json_list("vqa_rad", folder / FILES[split])):
        place = f"{FILES[split]} record {number}"
        question, answer, image = (_field(record, name) for name in ("question", "answer", "image_name"))
        if not (question and answer and image):
            yield Refused(place, "no question, answer or image_name")
            continue
        if image in test_images:
            continue
        earlier = first_seen.setdefault((image, question.lower(), answer.lower()), place)
        if earlier != place:
            yield Refused(place, "repeated image, question and answer")
            continue
        closed = _field(record, "answer_type").upper() == "CLOSED"  # "CLOSED " with a blank occurs too
        if closed or not closed_only:
            yield _sample(root, folder, split, record, question, answer, image, closed)


def _sample(
    root: Path, folder: Path, split: str, record: dict[str, Any], question: str, answer: str, image: str, closed: bool
) -> Sample:
    yes_no = closed and answer.lower() in ("yes", "no")
    return make_sample(
        id=f"vqa_rad/{record.get('qid', image)}",
        data_source="vqa_rad",
        question=question,
        images=[{"path": (folder / "images" / image).relative_to(root).as_posix()}],
        ground_truth=answer.lower() if yes_no else answer,
        kind="yes_no" if yes_no else "open_short",
        split=split,
        # VQA-Med-2019 draws on MedPix too: under one name a leak between the two can be seen
        image_id=f"medpix/{Path(image).stem}",
        organ=_field(record, "image_organ") or None,
        question_type=_question_type(_field(record, "question_type")),
        answer_type="CLOSED" if closed else "OPEN",
    )


def _question_type(published: str) -> str | None:
    """One name for one type: misspellings mended, several types in alphabetical order.

    >>> _question_type("PRSE"), _question_type("PRES, ATTRIB"), _question_type("Other")
    ('PRES', 'ATTRIB, PRES', 'OTHER')
    """
    types = {part.strip().upper() for part in published.split(",")} - {""}
    return ", ".join(sorted(QUESTION_TYPES.get(name, name) for name in types)) or None


def _field(record: Any, name: str) -> str:
    return as_text(record.get(name)) if isinstance(record, dict) else ""
