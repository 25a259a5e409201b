"""The zoom tool to the pixel, in every frame a model may answer in."""

import numpy as np
import pytest
from PIL import Image

from medrl.plugin import load_plugin
from medrl.rollout.env import Action, ActionError, Scene
from medrl.vision.resize import family_of, resized_size

ZoomEnv = load_plugin("envs/zoom.py:ZoomEnv", "Env").target


def noise(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def zooming(picture, frame="px_model", model_size=None, **options):
    scene = Scene(frame, lambda size: model_size or size)
    scene.show(picture, 0, (0.0, 0.0, float(picture.width), float(picture.height)))
    env = ZoomEnv(**options)
    env.reset(None, scene)
    return env, scene


def act(env, scene, box, image=0):
    """As an episode does: what was shown can be named."""
    seen = env.step(Action("image_zoom_in_tool", {"bbox_2d": box, "image": image}))
    scene.show(seen.images[0], seen.source, seen.shows_px_original)
    return seen


def test_a_crop_is_a_slice():
    picture = noise(300, 200)
    seen = act(*zooming(picture, enlarge=1), [40, 50, 140, 120])
    assert np.array_equal(np.asarray(seen.images[0]), np.asarray(picture)[50:120, 40:140])
    assert seen.confirmed["box_px_original"] == [40, 50, 140, 120]


def test_an_enlarged_crop_is_the_slice_resized_once():
    picture = noise(300, 200)
    seen = act(*zooming(picture, enlarge=2), [40, 50, 140, 120])
    wanted = picture.crop((40, 50, 140, 120)).resize((200, 140), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(seen.images[0]), np.asarray(wanted))


@pytest.mark.parametrize(
    "box, wanted",
    [
        ([-50, -50, 60, 60], [0, 0, 60, 60]),  # cut at the edge
        ([250, 150, 900, 900], [250, 150, 300, 200]),
        ([100, 100, 110, 104], [91, 88, 119, 116]),  # grown about its centre
        ([0, 0, 5, 5], [0, 0, 28, 28]),  # and moved inside
        ([299, 199, 300, 200], [272, 172, 300, 200]),
        ([10.4, 10.6, 80.2, 90.9], [10, 10, 81, 91]),  # every pixel it touches
    ],
)
def test_rules_for_boxes(box, wanted):
    assert act(*zooming(noise(300, 200)), box).confirmed["box_px_original"] == wanted


@pytest.mark.parametrize(
    "box",
    [[60, 60, 20, 20], [1, 2, 3], [0, 0, 300, 1], "0,0,5,5", None, [0, 0, float("nan"), 5], [0, 0, 10**400, 5], [400, 0, 500, 50],
     [True, 0, 50, 50], [[0, 0, 5, 5]], {}],
)  # fmt: skip
def test_what_is_no_region_is_an_error_for_the_model(box):
    env, scene = zooming(noise(300, 200))
    with pytest.raises(ActionError):
        act(env, scene, box)


@pytest.mark.parametrize("image", [-1, 1, 1.0, "0", None, True])
def test_a_picture_that_was_not_shown_is_an_error(image):
    env, scene = zooming(noise(300, 200))
    with pytest.raises(ActionError, match="there is no image"):
        act(env, scene, [0, 0, 50, 50], image)


@pytest.mark.parametrize("given", [{"image": "x" * 20_000}, {"image": [0] * 20_000}, {"bbox_2d": ["x" * 20_000]}])
def test_what_a_model_made_up_is_not_told_back_at_length(given):
    env, _ = zooming(noise(300, 200))
    with pytest.raises(ActionError) as told:
        env.step(Action("image_zoom_in_tool", {"bbox_2d": [0, 0, 50, 50], **given}))
    assert len(str(told.value)) < 250


FRAMES = ("px_original", "px_model", "norm1000")


def sizes(count, longest=900):
    """Sizes of pictures, what a model is given of each, and a generator."""
    rng = np.random.default_rng(7)
    for _ in range(count):
        size = tuple(int(side) for side in rng.integers(120, longest, 2))
        yield size, resized_size(*size, family_of("qwen2_5_vl"), min_pixels=3136, max_pixels=401408), rng


def unit_of(frame, size, model_size):
    """Width and height of the whole picture in the frame's unit; worked out without the module under test."""
    return np.array({"px_original": size, "px_model": model_size, "norm1000": (1000, 1000)}[frame])


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("whole_numbers", [False, True])
def test_a_patch_named_in_the_models_frame_is_in_the_crop(frame, whole_numbers):
    """200 sizes: the crop of a patch holds it and at most one pixel more at each edge; where the model writes whole
    numbers, half a unit of its frame comes on top."""
    for size, model_size, rng in sizes(200):
        start = rng.integers(0, np.array(size) - 60)
        patch = [*start.tolist(), *(start + rng.integers(40, 60, 2)).tolist()]
        picture = Image.new("RGB", size)
        picture.paste((255, 255, 255), tuple(patch))
        unit_px = np.tile(np.array(size) / unit_of(frame, size, model_size), 2)
        named = (np.array(patch) / unit_px).tolist()
        if whole_numbers:
            named = [round(edge) for edge in named]
        seen = act(*zooming(picture, frame, model_size, enlarge=1), named)
        error_px = np.abs(np.subtract(seen.confirmed["box_px_original"], patch))
        assert (error_px <= 1 + whole_numbers * unit_px / 2).all(), (frame, size, patch)
        white = int((np.asarray(seen.images[0])[..., 0] == 255).sum())
        area = (patch[2] - patch[0]) * (patch[3] - patch[1])
        assert white == area or (whole_numbers and white > 0.85 * area), "the crop has lost a part of the patch"


@pytest.mark.parametrize("frame", FRAMES)
def test_a_patch_named_in_a_crop_of_a_crop_is_in_its_crop(frame):
    """The box is given in the frame of the picture it is looked at in: a crop, enlarged, then resized for the model."""
    for size, _, rng in sizes(200, longest=600):
        scene = Scene(frame, lambda one: resized_size(*one, family_of("qwen2_5_vl"), 3136, 401408))
        patch = np.tile(rng.integers(0, np.array(size) - 90), 2) + np.array([0, 0, *rng.integers(30, 50, 2)])
        picture = Image.new("RGB", size)
        picture.paste((255, 255, 255), tuple(patch.tolist()))
        env = ZoomEnv(enlarge=float(rng.choice([1.0, 2.0, 3.7])), side_px=150)  # small, so fast
        env.reset(None, scene)
        scene.show(picture, 0, (0.0, 0.0, *map(float, size)))
        for depth, margin in enumerate((30, 11, 0)):
            last = scene.shown[-1]
            corner, far = np.split(np.array(last.box_px_original), 2)
            wanted = np.clip(patch + np.array([-margin, -margin, margin, margin]), np.tile(corner, 2), np.tile(far, 2))
            inside = (wanted - np.tile(corner, 2)) / np.tile(far - corner, 2)  # parts of the last picture
            named = (inside * np.tile(unit_of(frame, last.image.size, last.model_size), 2)).tolist()
            found = act(env, scene, named, image=depth).confirmed["box_px_original"]
            assert np.abs(np.subtract(found, wanted)).max() <= 1, (frame, size, depth)
        crop = np.asarray(scene.shown[-1].image)[..., 0]
        assert (crop > 127).mean() > 0.85, "the last crop is not of the patch"


def test_a_crop_is_a_slice_for_any_box_inside():
    """C1: pixel for pixel, 300 boxes of at least 28 pixels a side."""
    picture = noise(400, 300)
    pixels, rng = np.asarray(picture), np.random.default_rng(1)
    for _ in range(300):
        left, top = int(rng.integers(0, 372)), int(rng.integers(0, 272))
        right, bottom = int(rng.integers(left + 28, 401)), int(rng.integers(top + 28, 301))
        seen = act(*zooming(picture, enlarge=1), [left, top, right, bottom])
        assert np.array_equal(np.asarray(seen.images[0]), pixels[top:bottom, left:right])
        assert seen.confirmed["box_px_original"] == [left, top, right, bottom]


@pytest.mark.parametrize(
    "size, box, told",
    [
        ((300, 200), [0, 0, 300, 3], None),  # 100 times as long as wide, and grown
        ((300, 200), [0, 0, 300, 2], "too thin"),
        ((2, 300), [0, 0, 2, 300], "too thin"),
        ((27, 300), [0, 0, 27, 100], "too small to zoom into"),  # cannot be grown to 28
        ((28, 300), [0, 0, 5, 5], None),
        ((300, 200), [300, 0, 310, 40], "outside the image"),
        ((300, 200), [-9, -9, 0, 0], "outside the image"),
        ((300, 200), [50, 50, 50, 90], "not a box"),
    ],
)
def test_verls_rules_at_their_limits(size, box, told):
    if told:
        with pytest.raises(ActionError, match=told):
            act(*zooming(noise(*size)), box)
    else:
        left, top, right, bottom = act(*zooming(noise(*size)), box).confirmed["box_px_original"]
        assert right - left >= 28 and bottom - top >= 28
        assert left >= 0 and top >= 0 and right <= size[0] and bottom <= size[1]


def test_numbers_at_the_edge_of_floats_are_cut_or_told():
    seen = act(*zooming(noise(300, 200), model_size=(100, 60)), [0, 0, 10**308, 10**308])
    assert seen.confirmed["box_px_original"] == [0, 0, 300, 200]
    with pytest.raises(ActionError, match="not a box"):
        act(*zooming(noise(300, 200)), [0, 0, 10**309, 10**309])
