"""SLAKE (CC-BY-4.0): bilingual questions about radiology images.

Read one language at a time: the splits share no image inside a language, but the Chinese train set shows most of the
English test images and the other way round.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medrl.data.published import as_text, check_one_of, find_file, find_folder, read_json_list
from medrl.data.sample import Refused, Sample, make_sample

# the Hugging Face copy calls the second file validation.json
FILES = {"train": ("train.json",), "val": ("validate.json", "validation.json"), "test": ("test.json",)}
LANGUAGES = ("en", "zh")


def read(root: Path, split: str, *, language: str = "en") -> Iterator[Sample | Refused]:
    """Yield one language of `train`, `val` or `test` in file order, with images at imgs/<img_name>.

    English closed questions answered yes or no get kind "yes_no", all others "open_short".
    """
    check_one_of("slake", "split", split, FILES)
    check_one_of("slake", "language", language, LANGUAGES)
    folder = find_folder("slake", root, "Slake1.0")
    path = find_file("slake", folder, FILES[split])
    for number, record in enumerate(read_json_list("slake", path)):
        place = f"{path.name} record {number}"
        if not isinstance(record, dict):
            yield Refused(place, f"a JSON {type(record).__name__}, expected an object")
        elif as_text(record.get("q_lang")) == language:
            yield _sample(root, folder, split, place, record)


def _sample(root: Path, folder: Path, split: str, place: str, record: dict[str, Any]) -> Sample | Refused:
    # by name, never by position: the order of the keys differs between records
    question, answer, image = (as_text(record.get(name)) for name in ("question", "answer", "img_name"))
    for name, value in (("question", question), ("answer", answer), ("img_name", image)):
        if not value:
            return Refused(place, f"the {name} is empty")
    answer_type = as_text(record.get("answer_type")).upper()
    yes_no = answer_type == "CLOSED" and answer.lower() in ("yes", "no")
    return make_sample(
        id=f"slake/{record.get('qid', place)}",
        data_source="slake",
        question=question,
        images=[{"path": (folder / "imgs" / image).relative_to(root).as_posix()}],
        ground_truth=answer.lower() if yes_no else answer,
        kind="yes_no" if yes_no else "open_short",
        split=split,
        image_id=f"slake/{image.partition('/')[0]}",
        language=as_text(record.get("q_lang")),
        modality=as_text(record.get("modality")) or None,
        organ=as_text(record.get("location")) or None,
        question_type=as_text(record.get("content_type")) or None,
        answer_type=answer_type or None,
    )
