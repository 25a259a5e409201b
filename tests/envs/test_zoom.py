"""The zoom tool to the pixel, in every frame a model may answer in."""

import numpy as np
import pytest
from PIL import Image

from medrl.plugin import load_plugin
from medrl.rollout.env import Action, ActionError, Scene, in_source
from medrl.vision.frames import convert_box
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


FRAMES = ("px_original", "px_model", "norm1000")


@pytest.mark.parametrize("frame", FRAMES)
def test_a_patch_named_in_the_models_frame_is_in_the_crop(frame):
    """200 sizes: a patch somewhere in the picture, its box in the frame the model answers in, rounded as models write it."""
    rng = np.random.default_rng(7)
    family = family_of("qwen2_5_vl")
    for _ in range(200):
        width, height = (int(side) for side in rng.integers(120, 1500, 2))
        model_size = resized_size(width, height, family, min_pixels=3136, max_pixels=401408)
        left, top = int(rng.integers(0, width - 60)), int(rng.integers(0, height - 60))
        patch = (left, top, left + int(rng.integers(40, 60)), top + int(rng.integers(40, 60)))
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[patch[1] : patch[3], patch[0] : patch[2]] = 255
        named = [round(edge) for edge in convert_box(patch, "px_original", frame, (width, height), model_size)]
        env, scene = zooming(Image.fromarray(pixels), frame, model_size, enlarge=1)
        seen = act(env, scene, named)
        shrunk = max(width / model_size[0], height / model_size[1])
        unit = {"px_original": 0, "px_model": shrunk, "norm1000": max(width, height) / 1000}[frame]
        allowed = 1 + unit / 2  # rounding of the frame itself
        for edge, wanted in zip(seen.confirmed["box_px_original"], patch):
            assert abs(edge - wanted) <= allowed, (frame, width, height, patch)
        assert np.asarray(seen.images[0]).mean() > 200


def test_nested_crops_lead_back_to_the_original():
    rng = np.random.default_rng(3)
    for _ in range(200):
        width, height = (int(side) for side in rng.integers(300, 1200, 2))
        picture = noise(width, height, int(rng.integers(1000)))
        env, scene = zooming(picture, "px_model", enlarge=float(rng.choice([1.0, 2.0, 3.0])))
        first = act(env, scene, [width // 4, height // 4, width // 4 + 150, height // 4 + 120])
        inner = [20, 30, 20 + first.images[0].width // 2, 30 + first.images[0].height // 2]
        second = act(env, scene, inner, image=1)
        scale = first.images[0].width / 150, first.images[0].height / 120
        wanted = [
            width // 4 + inner[0] / scale[0], height // 4 + inner[1] / scale[1],
            width // 4 + inner[2] / scale[0], height // 4 + inner[3] / scale[1],
        ]  # fmt: skip
        for edge, place in zip(second.confirmed["box_px_original"], wanted):
            assert abs(edge - place) <= 1
        assert in_source((0, 0, second.images[0].width, second.images[0].height), scene.shown[2]) == pytest.approx(
            tuple(second.confirmed["box_px_original"])
        )
