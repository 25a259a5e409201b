"""Frames: a place named in any frame is the same place, checked on pixels and not only on numbers."""

import random

import numpy as np
import pytest
from PIL import Image

from medrl.errors import MedrlError
from medrl.vision.boxes import pixel_box
from medrl.vision.frames import convert_box, convert_point
from medrl.vision.resize import FAMILIES, resized_size

FRAMES = ("px_original", "px_model", "norm1000")
RED = (255, 0, 0)


def random_sizes(count, longest=900):
    """(original size, the size a family's model sees, the generator), families taking turns."""
    rng = random.Random(20)
    for index in range(count):
        original_size = rng.randint(40, longest), rng.randint(40, longest)
        family = FAMILIES[index % len(FAMILIES)]
        yield original_size, resized_size(*original_size, family, 56 * 56, 300_000), rng


def located_by_a_model(image, model_size):
    """The red patch's box in pixels of the resized image: what a model that sees perfectly would find."""
    red = np.asarray(image.resize(model_size, Image.Resampling.BILINEAR))[..., 0] > 127
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@pytest.mark.parametrize("frame", FRAMES)
def test_a_patch_addressed_in_the_models_frame_is_found_by_cropping_the_original(frame):
    for original_size, model_size, rng in random_sizes(200):
        width, height = original_size
        left, top = rng.randint(0, width - 24), rng.randint(0, height - 24)
        right = left + rng.randint(16, min(200, width - left))
        bottom = top + rng.randint(16, min(200, height - top))
        image = Image.new("RGB", original_size)
        image.paste(RED, (left, top, right, bottom))

        # the model writes whole numbers of its frame; worked out here without the module under test
        unit_size = {"px_original": original_size, "px_model": model_size, "norm1000": (1000, 1000)}[frame]
        located = np.array(located_by_a_model(image, model_size))
        said = np.rint(located * np.tile(unit_size, 2) / np.tile(model_size, 2)).astype(int).tolist()
        box_px_original = convert_box(said, frame, "px_original", original_size, model_size)

        where = (frame, original_size, model_size)
        step_px = 1 + np.divide(original_size, np.minimum(model_size, unit_size))
        # allowed at each edge: a step of the coarser grid, and the resize's blur
        error_px = np.abs(np.subtract(box_px_original, (left, top, right, bottom)))
        assert (error_px <= np.tile(step_px, 2)).all(), where
        crop = np.asarray(image.crop(pixel_box(box_px_original, width, height)))
        assert tuple(crop[crop.shape[0] // 2, crop.shape[1] // 2]) == RED, where
        assert (crop == RED).all(axis=-1).mean() > 0.5, where


def test_the_wrong_frame_misses_the_patch():
    # the failure this module exists for: on a large image, norm1000 read as pixels points elsewhere
    right = convert_box((800, 800, 900, 900), "norm1000", "px_original", (3000, 2000), (1008, 672))
    wrong = convert_box((800, 800, 900, 900), "px_model", "px_original", (3000, 2000), (1008, 672))
    assert right == (2400.0, 1600.0, 2700.0, 1800.0)
    assert pixel_box(wrong, 3000, 2000) is None  # below the image


@pytest.mark.parametrize("source", FRAMES)
@pytest.mark.parametrize("via", FRAMES)
def test_round_trip_within_a_pixel(source, via):
    for original_size, model_size, rng in random_sizes(200, longest=5000):
        point = (rng.uniform(0, 1000), rng.uniform(0, 1000))
        box = (*point, point[0] + 10, point[1] + 20)
        there = convert_box(box, source, via, original_size, model_size)
        there_and_back = convert_box(there, via, source, original_size, model_size)
        assert there_and_back == pytest.approx(box, abs=1e-6)
        moved = convert_point(point, source, via, original_size, model_size)
        assert moved == there[:2]


@pytest.mark.parametrize("frame", FRAMES)
def test_whole_numbers_round_trip_within_a_pixel(frame):
    # a model writes whole numbers: up to 2000 pixels a side, thousandths still name every pixel to within one
    for (width, height), model_size, rng in random_sizes(200, longest=2000):
        model_size = max(width, model_size[0]), max(height, model_size[1])
        point = (rng.uniform(0, width), rng.uniform(0, height))
        exact = convert_point(point, "px_original", frame, (width, height), model_size)
        said = [round(value) for value in exact]
        back = convert_point(said, frame, "px_original", (width, height), model_size)
        assert back == pytest.approx(point, abs=1.0)


def test_corners_of_the_image_are_corners_in_every_frame():
    whole = {"px_original": (0, 0, 641, 479), "px_model": (0, 0, 644, 476), "norm1000": (0, 0, 1000, 1000)}
    for source, box in whole.items():
        for target, expected in whole.items():
            assert convert_box(box, source, target, (641, 479), (644, 476)) == pytest.approx(expected)


def test_an_unknown_frame_or_size_is_refused():
    with pytest.raises(MedrlError, match=r"norm999.*px_original, px_model, norm1000"):
        convert_point((1, 1), "norm999", "px_original", (10, 10))
    with pytest.raises(MedrlError, match="px_model: the image size is None"):
        convert_point((1, 1), "px_model", "px_original", (10, 10))
    with pytest.raises(MedrlError, match="px_original: the image size is"):
        convert_point((1, 1), "norm1000", "px_original", (0, 10))


def test_the_model_size_is_not_needed_between_the_other_two():
    assert convert_point((500, 250), "norm1000", "px_original", (640, 480)) == (320.0, 120.0)
