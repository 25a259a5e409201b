"""Average precision is pycocotools', prediction by prediction, ties and the limit of 100 included."""

import contextlib
import io
import random

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from medrl.vision.average_precision import average_precision


def _reference(predicted: list, true: list) -> float:
    def record(number: int, box: tuple) -> dict:
        width, height = box[2] - box[0], box[3] - box[1]
        return {"id": number, "image_id": 1, "category_id": 1, "bbox": [box[0], box[1], width, height],
                "area": width * height, "iscrowd": 0, "score": 1.0}  # fmt: skip

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": 1, "width": 99, "height": 99}],
            "categories": [{"id": 1, "name": "lesion"}],
            "annotations": [record(number, box) for number, box in enumerate(true, start=1)],
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes([record(0, box) for box in predicted]), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def _box(rng: random.Random) -> tuple:
    left, top = rng.randint(0, 50), rng.randint(0, 50)
    return (left, top, left + rng.randint(10, 40), top + rng.randint(10, 40))


@pytest.mark.parametrize("seed", range(40))
def test_it_is_what_pycocotools_computes(seed):
    rng = random.Random(seed)
    true = [_box(rng) for _ in range(rng.randint(1, 6))]
    near = [tuple(edge + rng.randint(-2, 2) for edge in rng.choice(true)) for _ in range(rng.randint(1, 5))]
    predicted = near + [_box(rng) for _ in range(130 if seed % 10 == 0 else rng.randint(0, 4))]
    rng.shuffle(predicted)
    assert average_precision(predicted, true) == pytest.approx(_reference(predicted, true), abs=1e-9)


def test_what_is_no_box_counts_and_matches_nothing():
    right = (0, 0, 10, 10)
    assert average_precision([(10, 10, 0, 0), right], [right]) == pytest.approx(0.5)
    assert average_precision([], [right]) == 0.0


def test_of_two_truths_as_near_the_later_is_taken():
    true = [(0, 0, 10, 10), (4, 0, 14, 10)]
    for predicted in ([(2, 0, 12, 10), true[1]], [(2, 0, 12, 10), true[0]]):  # the first overlaps both by two thirds
        assert average_precision(predicted, true) == pytest.approx(_reference(predicted, true), abs=1e-9)
