"""The phantom set is the same everywhere, its splits never meet, and what it says of a picture is true."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from medrl.data.adapters import phantom
from medrl.data.sample import check
from medrl.errors import MedrlError


def pixels(sample):
    return np.asarray(Image.open(io.BytesIO(sample.images[0]["bytes"]))).astype(int)


def test_equal_seeds_equal_pictures_and_splits_are_disjoint():
    first, again = (list(phantom.read(None, "train", n=20, seed=3)) for _ in range(2))
    assert first == again
    assert first != list(phantom.read(None, "train", n=20, seed=4))
    pictures = [item.images[0]["bytes"] for split in phantom.SPLIT_OFFSET for item in phantom.read(None, split, n=60)]
    assert len(set(pictures)) == len(pictures)


@pytest.mark.parametrize("task", phantom.TASKS)
def test_samples_are_sound_and_answers_spread(task):
    items = list(phantom.read(None, "train", task=task, n=150))
    assert all(check(item) is None for item in items)
    answers = {item.ground_truth for item in items}
    assert len(answers) == {"count": 5, "modality": 6, "side": 2}.get(task, len(answers)) and len(answers) > 1
    assert {item.extra_info["modality"] for item in items} == set(phantom.MODALITIES)


def test_boxes_hold_the_lesions_and_nothing_outside_changes():
    for modality in phantom.MODALITIES:
        cells = [(1, 1), (2, 2)]
        with_lesions, boxes = phantom.draw(modality, cells, 112, np.random.default_rng(5))
        outside = np.ones((112, 112), bool)
        for left, top, right, bottom in boxes:
            assert 0 <= left < right <= 112 and 0 <= top < bottom <= 112 and 4 <= right - left <= 28
            outside[max(0, top - 4) : bottom + 4, max(0, left - 4) : right + 4] = False
            inside = with_lesions[(top + bottom) // 2, (left + right) // 2].astype(int)
            around = np.median(with_lesions[outside], axis=0)
            assert np.abs(inside - around).max() > 40, f"{modality}: the lesion cannot be seen"


def test_the_demonstration_says_what_is_there():
    for item in phantom.read(None, "train", task="count", n=40):
        said = item.demonstration[0].count(" column ")
        assert said == int(item.ground_truth) == len(item.extra_info.get("lesion_boxes", []))
    located = next(iter(phantom.read(None, "train", task="locate", n=1)))
    assert json.loads(located.ground_truth) == located.extra_info["lesion_boxes"][0]


@pytest.mark.parametrize("wrong", [{"task": "grade"}, {"modalities": ["PET"]}])
def test_an_unknown_option_lists_the_known(wrong):
    with pytest.raises(MedrlError, match="expected one of"):
        list(phantom.read(None, "train", n=1, **wrong))
    with pytest.raises(MedrlError, match="unknown split 'training'"):
        list(phantom.read(None, "training", n=1))
