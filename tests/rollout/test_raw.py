"""What a row says of the file behind its picture is used, or named as the row's mistake."""

import numpy as np
import pytest
from PIL import Image
from scenes import encoded, sample_of

from medrl.data.sample import from_row, to_row
from medrl.errors import MedrlError
from medrl.rollout.env import ActionError, Scene
from medrl.rollout.raw import check_raw, raw_of, spacing_mm

PICTURE = encoded(Image.new("L", (40, 30), 7))


@pytest.fixture
def scene(tmp_path):
    pages = [Image.fromarray(np.full((30, 40), 1000 * number, np.uint16)) for number in range(1, 5)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    return Scene("px_model", lambda size: size, root=tmp_path)


def test_one_dict_for_one_picture_and_a_list_for_several(scene):
    one = sample_of(PICTURE, raw={"path": "stack.tif", "slice": 3})
    stack, number = raw_of(one, 0, scene)
    assert number == 3 and stack.values(2)[0, 0] == 3000
    two = sample_of(PICTURE, PICTURE, raw=[None, {"path": "stack.tif"}])
    assert len(raw_of(two, 0, scene)[0]) == 1 and len(raw_of(two, 1, scene)[0]) == 4
    check_raw(two, scene.root)


def test_it_comes_through_a_parquet_row():
    sample = sample_of(PICTURE, raw=[{"path": "stack.tif", "slice": 3}], pixel_spacing_mm=[0.7, 0.5])
    back = from_row(to_row(sample), "here")
    assert back.extra_info["raw"] == sample.extra_info["raw"] and back.extra_info["pixel_spacing_mm"] == [0.7, 0.5]


@pytest.mark.parametrize(
    "raw, told",
    [
        ({"path": "stack.tif", "slice": 5}, "slice=5, but stack.tif has slices 1 to 4"),
        ({"path": "stack.tif", "slice": 0}, "slice=0"),
        ({"file": "stack.tif"}, "expected a dict with `path`"),
        ([{"path": "stack.tif"}] * 2, "each of the 1 images"),
        ("stack.tif", "each of the 1 images"),
        ({"path": "stack.tif", "plane": "oblique"}, "plane='oblique'"),
        ({"path": "../stack.tif"}, "outside its root"),
    ],
)
def test_a_mistake_of_the_row_is_named(scene, raw, told):
    with pytest.raises(MedrlError, match=told):
        raw_of(sample_of(PICTURE, raw=raw), 0, scene)


def test_a_picture_without_raw_values_is_told_to_the_model(scene):
    odd = encoded(Image.new("L", (8, 8)), "TIFF", save_all=True, append_images=[Image.new("L", (9, 8))])
    with pytest.raises(ActionError, match="no raw values"):
        raw_of(sample_of(odd), 0, scene)
    with pytest.raises(ActionError, match="not one of the question's"):
        raw_of(sample_of(PICTURE), 1, scene)
    assert spacing_mm(sample_of(PICTURE, pixel_spacing_mm=[1, 1]), 1, scene) is None
    assert spacing_mm(sample_of(PICTURE, raw={"path": "stack.tif"}), 0, scene) is None  # a TIFF does not say
