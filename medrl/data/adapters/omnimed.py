"""OmniMedVQA as Med-R1 publishes it: a JSON list of image, problem and solution, the options inline in the problem.

Splits are files such as `Splits/modality/test/OCT_test.json`, named by their path below the root. Beware: Med-R1's own
splits share images between train and test, and its option texts alone give most answers away (see `medrl data audit`).
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from medrl.data.options import list_options, split_options
from medrl.data.published import as_text, check_one_of, find_file, read_json_list
from medrl.data.sample import Refused, Sample, make_sample

# What names a modality in a path. Whole words only: "OCT" is no CT. Two in one name ("OCT & X-Ray 2017") tell nothing.
MODALITY_WORDS = {
    "CT": r"ct|computed tomography",
    "MRI": r"mri?|magnetic resonance",
    "X-ray": r"x ?ray|cxr|mura|mias",
    "ultrasound": r"us|ultrasound",
    "dermoscopy": r"isic|isic ?20\d\d|isbi ?2016|dermoscopy|fitzpatrick 17k|pad ufes 20|monkeypox skin image 2022",
    "fundus": r"fundus|fundus photography|diabetic retinopathy|acrima|deepdrid|drimdb|jsiec|palm2019|adam challenge",
    "OCT": r"oct|optical coherence tomography",
    "microscopy": r"microscopy|microscopy images|breakhis|crc100k|blood cell|mhsma|hushem|biomeditech",
}
SOLUTION = re.compile(r"\s*<answer>\s*([A-Z])\s*</answer>\s*")


def read(root: Path, split: str, *, modality: str | None = None) -> Iterator[Sample | Refused]:
    """Yield the records of the file `split` (".json" may be left out) in file order.

    `modality` keeps the records of one modality, as far as the image's folder or the split's file name tells it; where
    nothing tells, the key is left out, and under this option the record is refused.
    """
    if modality is not None:
        check_one_of("omnimed", "modality", modality, MODALITY_WORDS)
    path = find_file("omnimed", root, (split, f"{split}.json"))
    for number, record in enumerate(read_json_list("omnimed", path)):
        place = f"{path.name} record {number}"
        sample = _sample(split, f"{path.stem}/{number}", place, record)
        if modality is not None and isinstance(sample, Sample):
            found = sample.extra_info.get("modality")
            if found is None:
                sample = Refused(place, "its path tells no modality, but one was asked for")
            elif found != modality:
                continue
        yield sample


def modality_of(image: str, split: str = "") -> str | None:
    """The modality a path tells: its data set's folder, the folders below it, else the split file's name.

    >>> modality_of("Images/Chest CT Scan/test/1.png"), modality_of("Images/OCT & X-Ray 2017/1.png", "OCT_test")
    ('CT', 'OCT')
    """
    folders = [part for part in PurePosixPath(image).parts[:-1] if part.lower() != "images"]
    for name in (*folders[:2], PurePosixPath(split).name):  # below that, names are of diseases and patients
        words = " ".join(re.findall(r"[a-z0-9]+", name.lower()))
        told = [modality for modality, known in MODALITY_WORDS.items() if re.search(rf"\b(?:{known})\b", words)]
        if len(told) == 1:
            return told[0]
    return None


def _sample(split: str, name: str, place: str, record: Any) -> Sample | Refused:
    if not isinstance(record, dict):
        return Refused(place, f"a JSON {type(record).__name__}, expected an object")
    image, problem, solution = (as_text(record.get(key)) for key in ("image", "problem", "solution"))
    if not (image and problem and solution):
        return Refused(place, "no image, problem or solution")
    parsed = split_options(problem)
    if parsed is None:
        return Refused(place, "the problem has no options of the form A)…, B)…")
    question, options = parsed
    answer = SOLUTION.fullmatch(solution)
    if answer is None or answer[1] not in options:
        return Refused(place, f"the solution {solution!r} is not <answer> one of {', '.join(options)} </answer>")
    return make_sample(
        id=f"omnimed/{name}",
        data_source="omnimed",
        question=list_options(question, options),
        images=[{"path": image}],
        ground_truth=answer[1],
        kind="choice",
        split=split,
        options=options,
        plain_question=question,
        image_id=f"omnimed/{image}",
        modality=modality_of(image, split),
    )
