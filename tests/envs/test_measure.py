"""The ruler: millimetres to 1e-6, whatever was resized, cropped or turned in between."""

import math

import nibabel
import numpy as np
import pytest
from PIL import Image
from scenes import Playing, encoded, sample_of

from medrl.errors import MedrlError
from medrl.plugin import load_plugin
from medrl.rollout.env import ActionError
from medrl.vision.resize import family_of, resized_size

MeasureEnv = load_plugin("envs/measure.py:MeasureEnv", "Env").target
ToolboxEnv = load_plugin("envs/toolbox.py:ToolboxEnv", "Env").target
ALL = [{"use": f"envs/{file}"} for file in ("zoom.py:ZoomEnv", "view.py:ViewEnv", "measure.py:MeasureEnv")]
DOWN, ACROSS = 0.7, 0.5


def in_frame(point, frame, size, model_size):
    """A place of the picture as a model that never errs would write it, unrounded."""
    unit = {"px_model": model_size, "norm1000": (1000, 1000), "px_original": size}[frame]
    return [point[0] * unit[0] / size[0], point[1] * unit[1] / size[1]]


@pytest.mark.parametrize("frame", ["px_model", "norm1000", "px_original"])
def test_millimetres_are_right_after_resizing_in_200_sizes(frame):
    rng = np.random.default_rng(5)
    for _ in range(200):
        size = tuple(int(side) for side in rng.integers(60, 500, 2))
        model_size = resized_size(*size, family_of("qwen2_5_vl"), 3136, 200_000)
        spacing = rng.uniform(0.05, 3, 2).tolist()
        sample = sample_of(encoded(Image.new("L", size), compress_level=0), pixel_spacing_mm=spacing)
        ends = [(float(rng.uniform(0, size[0])), float(rng.uniform(0, size[1]))) for _ in range(2)]
        start, end = (in_frame(point, frame, size, model_size) for point in ends)
        seen = Playing(MeasureEnv(), sample, frame, model_size).act("measure", start=start, end=end)
        (x0, y0), (x1, y1) = ends
        wanted = math.sqrt(((x1 - x0) * spacing[1]) ** 2 + ((y1 - y0) * spacing[0]) ** 2)
        assert abs(seen.confirmed["length_mm"] - wanted) < 1e-6
        assert seen.text == f"{seen.confirmed['length_mm']:.2f} mm"


def test_the_two_spacings_are_not_mixed_up():
    playing = Playing(MeasureEnv(), sample_of(encoded(Image.new("L", (100, 80))), pixel_spacing_mm=[DOWN, ACROSS]))
    assert playing.act("measure", start=[10, 10], end=[30, 10]).text == "10.00 mm"  # across
    assert playing.act("measure", start=[10, 10], end=[10, 30]).text == "14.00 mm"  # down


@pytest.fixture
def volume(tmp_path):
    nibabel.save(
        nibabel.Nifti1Image(np.zeros((100, 80, 4), np.int16), np.diag([ACROSS, DOWN, 3, 1])), tmp_path / "a.nii"
    )
    return tmp_path


@pytest.mark.parametrize("size", [(100, 80), (50, 80), (300, 240)])
def test_the_header_s_spacing_is_that_of_its_own_pixels(volume, size):
    sample = sample_of(encoded(Image.new("L", size)), raw={"path": "a.nii"})
    seen = Playing(MeasureEnv(), sample, root=volume).act("measure", start=[0, 0], end=list(size))
    assert abs(seen.confirmed["length_mm"] - math.hypot(100 * ACROSS, 80 * DOWN)) < 1e-6


def test_planes_have_their_own_spacing(volume):
    for plane, spacing in {"coronal": (3, ACROSS), "sagittal": (3, DOWN)}.items():
        size = (100, 4) if plane == "coronal" else (80, 4)
        sample = sample_of(encoded(Image.new("L", size)), raw={"path": "a.nii", "plane": plane})
        seen = Playing(MeasureEnv(), sample, root=volume).act("measure", start=[0, 0], end=[40, 2])
        assert abs(seen.confirmed["length_mm"] - math.hypot(40 * spacing[1], 2 * spacing[0])) < 1e-6


def test_crops_of_turned_crops_measure_the_same(volume):
    rng = np.random.default_rng(2)
    sample = sample_of(encoded(Image.new("L", (400, 320))), pixel_spacing_mm=[DOWN, ACROSS])
    for angle in (90, 180, 270):
        playing = Playing(ToolboxEnv(ALL), sample, root=volume)
        playing.act("image_zoom_in_tool", bbox_2d=[40, 32, 241, 197])
        playing.act("rotate", angle=angle)
        playing.act("image_zoom_in_tool", bbox_2d=[100, 50, 307, 391], image=2)
        last = playing.scene.shown[-1]
        left, top, right, bottom = last.box_px_original
        for _ in range(20):
            start, end = (rng.uniform(0, last.image.size).tolist() for _ in range(2))
            across, down = (end[0] - start[0]) / last.image.width, (end[1] - start[1]) / last.image.height
            if angle != 180:  # what runs across in the turned crop runs down in the picture
                across, down = down, across
            wanted = math.hypot(across * (right - left) * ACROSS, down * (bottom - top) * DOWN)
            assert abs(playing.act("measure", start=start, end=end, image=3).confirmed["length_mm"] - wanted) < 1e-6


def test_without_a_spacing_the_answer_is_in_pixels_and_says_so():
    seen = Playing(MeasureEnv(), sample_of(encoded(Image.new("L", (100, 80))))).act(
        "measure", start=[0, 0], end=[30, 40]
    )
    assert seen.text == "50.0 pixels; the size of a pixel is not known"
    assert seen.confirmed["length_px"] == 50 and "length_mm" not in seen.confirmed


def test_one_spacing_for_all_samples_and_one_per_picture():
    picture = encoded(Image.new("L", (100, 80)))
    playing = Playing(MeasureEnv(spacing_mm=[2, 1]), sample_of(picture))
    assert playing.act("measure", start=[0, 0], end=[0, 10]).text == "20.00 mm"
    playing = Playing(MeasureEnv(), sample_of(picture, picture, pixel_spacing_mm=[[2, 1], [4, 1]]))
    assert playing.act("measure", start=[0, 0], end=[0, 10], image=1).text == "40.00 mm"


@pytest.mark.parametrize(
    "start", [None, [1], [1, 2, 3], ["1", 2], [float("nan"), 0], [10**400, 0], [True, 0], [101, 0], [0, -1], {}]
)
def test_what_is_no_point_of_the_picture_is_told(start):
    with pytest.raises(ActionError, match=r"start=.*(is not a point|lies outside)"):
        Playing(MeasureEnv(), sample_of(encoded(Image.new("L", (100, 80))))).act("measure", start=start, end=[1, 1])


@pytest.mark.parametrize("stated", [[0, 1], [1], "0.5", [1, float("inf")], [1, None], 0.5])
def test_a_spacing_that_is_none_is_an_error_of_the_data(stated):
    sample = sample_of(encoded(Image.new("L", (100, 80))), pixel_spacing_mm=stated)
    with pytest.raises(MedrlError, match="expected \\[down, across\\]"):
        Playing(MeasureEnv(), sample).act("measure", start=[0, 0], end=[1, 1])


def test_a_raw_file_that_is_not_there_is_told_as_the_episode_begins(tmp_path):
    sample = sample_of(encoded(Image.new("L", (100, 80))), raw={"path": "gone.nii"})
    with pytest.raises(MedrlError, match=r"extra_info.raw names 'gone.nii', which is not there"):
        Playing(MeasureEnv(), sample, root=tmp_path)
