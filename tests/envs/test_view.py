"""The viewer's tools: the window is the formula, turns can be undone, slices are the stack's, and a crop stays a crop."""

import nibabel
import numpy as np
import pytest
from PIL import Image
from scenes import Playing, encoded, sample_of

from medrl.errors import MedrlError
from medrl.plugin import load_plugin
from medrl.rollout.confirmed import looks
from medrl.rollout.env import ActionError, in_source, point_in_source
from medrl.vision.stack import windowed

ViewEnv = load_plugin("envs/view.py:ViewEnv", "Env").target
ToolboxEnv = load_plugin("envs/toolbox.py:ToolboxEnv", "Env").target
BOTH = [{"use": "envs/zoom.py:ZoomEnv", "kwargs": {"name": "zoom"}}, {"use": "envs/view.py:ViewEnv"}]
RNG = np.random.default_rng(0)


def grey(image):
    pixels = np.asarray(image)
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


def formula(values, level, width):
    """Grey, not rounded; as in a textbook, not as in the code under test."""
    return 255 * np.clip((values - level + width / 2) / width, 0, 1)


def shows(image, values, level, width):
    """Every pixel is the formula's value, rounded."""
    return (
        grey(image).shape == values.shape
        and (np.abs(grey(image) - formula(values.astype(float), level, width)) <= 0.5 + 1e-9).all()
    )


@pytest.fixture
def ct(tmp_path):
    """A question on slice 3 of a CT of 8 slices, shown to the model as an 8-bit picture of half the size."""
    volume = RNG.integers(-1024, 2000, (80, 60, 8)).astype(np.int16)  # (x, y, z)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([0.5, 0.7, 3.0, 1.0])), tmp_path / "ct.nii.gz")
    slices = volume[::-1, ::-1].transpose(2, 1, 0)  # (slice, row, column) as axial slices are looked at
    shown = Image.fromarray(formula(slices[2], 0, 4000).astype(np.uint8))
    return (
        tmp_path,
        slices,
        lambda size: sample_of(encoded(shown.resize(size)), raw=[{"path": "ct.nii.gz", "slice": 3}]),
    )


def test_a_window_of_the_whole_picture_is_the_formula_on_its_raw_slice(ct):
    root, slices, sample = ct
    playing = Playing(ViewEnv(), sample((80, 60)), root=root)
    seen = playing.act("window", level=40, width=400)
    assert shows(seen.images[0], slices[2], 40, 400)
    assert seen.text == "slice 3 of 8, level 40, width 400"
    assert seen.confirmed == {
        "tool": "window", "image": 0, "source": 0, "box_px_original": [0, 0, 80, 60], "view": {"window": [40, 400]},
    }  # fmt: skip


def test_slices_count_from_one_and_keep_the_window(ct):
    root, slices, sample = ct
    playing = Playing(ViewEnv(), sample((80, 60)), root=root)
    playing.act("window", level=40, width=400)
    for number in (1, 8):
        seen = playing.act("slice", number=number)
        assert shows(seen.images[0], slices[number - 1], 40, 400)
        assert seen.confirmed["view"] == {"slice": number, "window": [40, 400]}
    seen = playing.act("window", level=0, width=100)  # and the window keeps the slice
    assert shows(seen.images[0], slices[7], 0, 100)
    for number in (0, 9, -1, 1.0, "1", None, True, 10**400, [1]):
        with pytest.raises(ActionError, match="slices 1 to 8"):
            playing.act("slice", number=number)


def test_a_slice_without_a_window_shows_all_values_of_the_stack(ct):
    root, slices, sample = ct
    seen = Playing(ViewEnv(), sample((80, 60)), root=root).act("slice", number=5)
    low, high = int(slices.min()), int(slices.max())
    assert shows(seen.images[0], slices[4], (low + high) / 2, high - low)


def test_the_window_of_a_crop_is_the_crop_of_the_window(ct):
    root, slices, sample = ct
    playing = Playing(ToolboxEnv(BOTH), sample((80, 60)), root=root)
    crop = playing.act("zoom", bbox_2d=[10, 12, 50, 44])
    seen = playing.act("window", level=40, width=400)
    whole = Image.fromarray(windowed(slices[2], 40, 400)).convert("RGB")
    wanted = whole.crop((10, 12, 50, 44)).resize(crop.images[0].size, Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(seen.images[0]), np.asarray(wanted))
    assert seen.shows_px_original == (10, 12, 50, 44)


def test_a_picture_smaller_than_its_raw_slice_is_shown_at_its_own_size_and_place(ct):
    root, slices, sample = ct
    playing = Playing(ToolboxEnv(BOTH), sample((40, 30)), root=root)
    playing.act("zoom", bbox_2d=[8, 2, 36, 30])
    seen = playing.act("window", level=40, width=400)
    whole = Image.fromarray(windowed(slices[2], 40, 400)).convert("RGB")
    wanted = whole.crop((16, 4, 72, 60)).resize(playing.scene.shown[1].image.size, Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(seen.images[0]), np.asarray(wanted))


def test_a_16_bit_picture_and_its_pages_need_no_other_file():
    pages = RNG.integers(0, 4096, (5, 30, 40)).astype(np.uint16)
    first, *rest = [Image.fromarray(page) for page in pages]
    playing = Playing(ViewEnv(), sample_of(encoded(first, "TIFF", save_all=True, append_images=rest)))
    assert shows(playing.act("window", level=2000, width=500).images[0], pages[0], 2000, 500)
    assert shows(playing.act("slice", number=4).images[0], pages[3], 2000, 500)
    assert shows(playing.act("slice", number=4, image=0).images[0], pages[3], 2047.5, 4095)


def test_frames_in_colours_have_slices_and_no_window():
    pages = RNG.integers(0, 255, (3, 20, 30, 3), dtype=np.uint8)
    first, *rest = [Image.fromarray(page) for page in pages]
    playing = Playing(ViewEnv(), sample_of(encoded(first, "TIFF", save_all=True, append_images=rest)))
    assert np.array_equal(np.asarray(playing.act("slice", number=2).images[0]), pages[1])
    with pytest.raises(ActionError, match="in colours has no grey window"):
        playing.act("window", level=40, width=400)


@pytest.mark.parametrize(
    "level, width",
    [("40", 400), (40, 0), (40, -5), (float("nan"), 400), (40, float("inf")), (None, 1), (True, 1), (10**400, 400),
     (1e300, 400), (40, 1e300)],
)  # fmt: skip
def test_a_window_that_is_none_is_told(level, width):
    with pytest.raises(ActionError, match=r"is not a number|must have a width"):
        Playing(ViewEnv(), sample_of(encoded(Image.new("L", (30, 30))))).act("window", level=level, width=width)


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_turned_picture_is_numpys_and_its_boxes_lead_back(angle):
    pixels = RNG.integers(0, 255, (60, 80, 3), dtype=np.uint8)
    playing = Playing(ToolboxEnv(BOTH), sample_of(encoded(Image.fromarray(pixels))))
    seen = playing.act("rotate", angle=angle)
    turned = np.rot90(pixels, -angle // 90)  # clockwise
    assert np.array_equal(np.asarray(seen.images[0]), turned) and seen.confirmed["angle"] == angle
    crop = playing.act("zoom", bbox_2d=[5, 10, 45, 40], image=1)
    left, top, right, bottom = (int(edge) for edge in crop.confirmed["box_px_original"])
    found = np.rot90(pixels[top:bottom, left:right], -angle // 90)
    assert np.array_equal(found, turned[10:40, 5:45]) and (right - left, bottom - top) != (0, 0)
    inner = playing.act("zoom", bbox_2d=[0, 0, 112, 112], image=2)  # 28 pixels enlarged 4 times
    left, top, right, bottom = (int(edge) for edge in inner.confirmed["box_px_original"])
    assert np.array_equal(np.rot90(pixels[top:bottom, left:right], -angle // 90), turned[10:38, 5:33])


def test_four_quarter_turns_are_none():
    pixels = RNG.integers(0, 255, (60, 80, 3), dtype=np.uint8)
    playing = Playing(ViewEnv(), sample_of(encoded(Image.fromarray(pixels))))
    for _ in range(4):
        playing.act("rotate", angle=90)
    last = playing.scene.shown[-1]
    assert np.array_equal(np.asarray(last.image), pixels) and last.view.quarter_turns == 0
    assert point_in_source((3, 4), last) == (3, 4)
    assert in_source((0, 0, 60, 80), playing.scene.shown[1]) == (0, 0, 80, 60)


def test_a_window_after_a_turn_is_turned_too(ct):
    root, slices, sample = ct
    playing = Playing(ViewEnv(), sample((80, 60)), root=root)
    playing.act("rotate", angle=90)
    seen = playing.act("window", level=40, width=400)
    assert shows(seen.images[0], np.rot90(slices[2], -1), 40, 400)


@pytest.mark.parametrize("angle", [0, 45, -90, 360, "90", None, True, [90]])
def test_other_angles_are_told(angle):
    with pytest.raises(ActionError, match="expected 90, 180 or 270"):
        Playing(ViewEnv(), sample_of(encoded(Image.new("RGB", (30, 30))))).act("rotate", angle=angle)


def test_contrast_brings_out_a_faint_pattern_and_keeps_hue():
    faint = np.full((128, 128), 100, np.uint8)
    faint[::2] += 4
    playing = Playing(ViewEnv(), sample_of(encoded(Image.fromarray(faint))))
    seen = playing.act("contrast", limit=4)
    assert grey(seen.images[0]).std() > 1.5 * faint.std() and seen.confirmed["view"] == {"contrast": 4.0}
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = RNG.integers(80, 120, (64, 64))
    after = np.asarray(Playing(ViewEnv(), sample_of(encoded(Image.fromarray(red)))).act("contrast").images[0]).astype(
        int
    )
    assert (after[..., 0] >= after[..., 1]).all() and not np.array_equal(after, red)
    for limit in (0, 41, "2", float("nan")):
        with pytest.raises(ActionError):
            playing.act("contrast", limit=limit)


def test_a_turn_is_no_look_and_the_same_window_twice_is_one(ct):
    root, _, sample = ct
    playing = Playing(ViewEnv(), sample((80, 60)), root=root)
    actions = [
        playing.act("rotate", angle=90), playing.act("rotate", angle=180), playing.act("window", level=40, width=400),
        playing.act("window", level=40, width=400, image=0), playing.act("slice", number=2),
    ]  # fmt: skip
    found = looks({"actions": [seen.confirmed for seen in actions], "image_sizes": [[80, 60]]})
    assert [one["tool"] for one in found] == ["window", "slice"]


def test_only_the_tools_asked_for_are_offered_and_unknown_ones_named():
    assert [tool["function"]["name"] for tool in ViewEnv(tools=["slice", "window"]).tools] == ["slice", "window"]
    with pytest.raises(MedrlError, match="no tool \\['spin'\\]"):
        ViewEnv(tools=["spin"])


def test_opencv_is_missed_before_training_and_only_where_it_is_needed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MedrlError, match=r"medrl\[imaging\]"):
        ViewEnv()
    ViewEnv(tools=["window", "slice", "rotate"])
