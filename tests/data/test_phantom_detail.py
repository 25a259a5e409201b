"""The pattern is plain in a crop and gone in what the model sees of the whole; demonstrations look where the question asks."""

import io

import numpy as np
import pytest
from PIL import Image

from medrl.data.adapters.phantom_detail import PATTERNS, _coloured, _draw, read
from medrl.errors import MedrlError


def picture(sample):
    return Image.open(io.BytesIO(sample.images[0]["bytes"]))


def inside(sample, scale=1):
    """Grey values in the middle of the lesion that is asked about, at full size or reduced."""
    whole = picture(sample).convert("L")
    whole = whole.resize((whole.width // scale, whole.height // scale), Image.Resampling.BICUBIC)
    left, top, right, bottom = (edge // scale for edge in sample.extra_info["lesion_boxes"][0])
    quarter = (right - left) // 4
    return np.asarray(whole, np.float32)[top + quarter : bottom - quarter, left + quarter : right - quarter]


@pytest.mark.parametrize("grid", [2, 4])
def test_the_reduced_picture_holds_no_trace_of_a_pattern(grid):
    """The same lesion with the same noise, once with each pattern: after reduction nobody could tell them apart."""
    reduced = []
    for kind in range(len(PATTERNS)):
        drawn = _coloured(_draw(kind, 1, 0, grid, 112 * grid, np.random.default_rng(0)))
        small = Image.fromarray(drawn).resize((112, 112), Image.Resampling.BICUBIC)
        reduced.append(np.asarray(small, np.int16))
    for one in reduced[1:]:
        assert np.abs(one - reduced[0]).max() <= 2 and np.abs(one - reduced[0]).mean() < 0.1, "more than rounding"


@pytest.mark.parametrize("grid", [2, 4])
def test_patterns_are_seen_in_a_crop_and_not_in_the_reduced_picture(grid):
    found = {name: [] for name in PATTERNS}
    for sample in read(None, "train", n=64, grid=grid):
        found[sample.options[sample.ground_truth]].append(sample)
    assert all(len(samples) > 5 for samples in found.values())
    means = {name: np.mean([inside(one, grid).mean() for one in samples]) for name, samples in found.items()}
    assert max(means.values()) - min(means.values()) < 3, means
    for name, samples in found.items():
        assert max(inside(one, grid).std() for one in samples) < 6, name
        spread = min(inside(one).std() for one in samples)
        assert (spread > 30) if name != "plain" else spread < 12


def test_the_answer_is_the_pattern_of_the_lesion_and_its_box_holds_it():
    for sample in read(None, "val", n=40):
        left, top, right, bottom = sample.extra_info["lesion_boxes"][0]
        whole = np.asarray(picture(sample).convert("L"), np.float32)
        assert whole[top:bottom, left:right].mean() > 80 and whole.max() == whole[top:bottom, left:right].max()
        grey = inside(sample)
        along, down = np.abs(np.diff(grey, axis=1)).mean(), np.abs(np.diff(grey, axis=0)).mean()
        seen = {(False, True): "rows", (True, False): "columns", (True, True): "squares", (False, False): "plain"}
        assert sample.options[sample.ground_truth] == seen[bool(along > 15), bool(down > 15)]


def test_without_the_slope_it_is_grey():
    assert {picture(one).mode for one in read(None, "val", n=2, slope=False)} == {"L"}
    assert {picture(one).mode for one in read(None, "val", n=2)} == {"RGB"}


def test_every_other_demonstration_looks():
    samples = list(read(None, "demo", n=10))
    assert [len(sample.demonstration) for sample in samples] == [1, 2] * 5
    assert [len(one.demonstration) for one in read(None, "demo", n=8, look_share=0.75)] == [1, 2, 2, 2] * 2
    for sample in samples[1::2]:
        box = " ".join(map(str, sample.extra_info["lesion_boxes"][0]))
        assert f"{{box {box}}}" in sample.demonstration[0] and sample.demonstration[1].endswith(
            "{ground_truth}</answer>"
        )
    assert {len(sample.demonstration) for sample in read(None, "demo", n=10, tool=None)} == {1}


def test_the_same_number_gives_the_same_picture_and_splits_share_none():
    one, again = (next(iter(read(None, "train", n=1))) for _ in range(2))
    assert one.images == again.images
    assert next(iter(read(None, "val", n=1))).images != one.images
    with pytest.raises(MedrlError, match="grid=3; expected 2 or 4"):
        next(iter(read(None, "train", grid=3)))
    with pytest.raises(MedrlError, match="unknown split"):
        next(iter(read(None, "everything")))
