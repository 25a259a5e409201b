"""A ruler drawn on a picture keeps its length in mm through every resize and frame."""

import math
import random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from medrl.vision.frames import convert_point
from medrl.vision.resize import FAMILIES, resized_size
from medrl.vision.spacing import length_mm, resized_spacing


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_a_ruler_keeps_its_length_in_the_frame_a_model_answers_in(family):
    rng = random.Random(family.model_type)
    for _ in range(50):
        size = (rng.randint(200, 3000), rng.randint(200, 3000))
        spacing = (rng.uniform(0.05, 2), rng.uniform(0.05, 2))
        model_size = resized_size(*size, family, min_pixels=3136, max_pixels=802816)
        answer_size = (1000, 1000) if family.box_frame == "norm1000" else model_size
        ends = [(rng.uniform(0, size[0]), rng.uniform(0, size[1])) for _ in range(2)]
        moved = [convert_point(end, "px_original", family.box_frame, size, model_size) for end in ends]
        measured = length_mm(*moved, resized_spacing(spacing, size, answer_size))
        assert math.isclose(measured, length_mm(*ends, spacing), rel_tol=0, abs_tol=1e-6)


def test_a_ruler_that_was_drawn_measures_the_same_after_the_picture_was_resized():
    spacing = (0.4, 0.8)  # down, across: the ruler is 160 px wide and 200 px high, 128 mm by 80 mm
    picture = Image.new("L", (320, 400))
    ImageDraw.Draw(picture).rectangle((80, 100, 239, 299), fill=255)
    for resized in ((320, 400), (160, 400), (640, 100), (1280, 1600)):
        rows, columns = np.nonzero(np.asarray(picture.resize(resized, Image.Resampling.BOX)))
        left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        now = resized_spacing(spacing, picture.size, resized)
        assert length_mm((left, top), (right, top), now) == pytest.approx(128, abs=1e-6)
        assert length_mm((left, top), (left, bottom), now) == pytest.approx(80, abs=1e-6)
        assert length_mm((left, top), (right, bottom), now) == pytest.approx(math.hypot(128, 80), abs=1e-6)
