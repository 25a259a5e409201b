"""The marked picture differs on the outline of the box and nowhere else."""

import numpy as np
from PIL import Image

from medrl.plugin import load_plugin
from medrl.rollout.env import Action, Scene

MarkEnv = load_plugin("envs/mark.py:MarkEnv", "Env").target


def marked(*boxes, width_px=3):
    pixels = np.random.default_rng(0).integers(0, 200, (90, 120, 3), dtype=np.uint8)
    scene = Scene("px_model", lambda size: size)
    scene.show(Image.fromarray(pixels), 0, (0.0, 0.0, 120.0, 90.0))
    env = MarkEnv(width_px=width_px)
    env.reset(None, scene)
    for box in boxes:
        seen = env.step(Action("mark", {"bbox_2d": box}))
        scene.show(seen.images[0], seen.source, (0.0, 0.0, 120.0, 90.0))
    return pixels, seen


def outline(left, top, right, bottom, width):
    inside = np.zeros((90, 120), bool)
    inside[top:bottom, left:right] = True
    inside[top + width : bottom - width, left + width : right - width] = False
    return inside


def test_only_the_outline_changes():
    before, seen = marked([10, 20, 70, 60])
    after = np.asarray(seen.images[0])
    assert np.array_equal((after != before).any(-1), outline(10, 20, 70, 60, 3))
    assert (after[outline(10, 20, 70, 60, 3)] == (255, 0, 0)).all()
    assert seen.confirmed == {"tool": "mark", "source": 0, "box_px_original": [10, 20, 70, 60]}


def test_marks_add_up_and_the_question_s_picture_stays_as_it_is():
    before, seen = marked([10, 20, 70, 60], [5, 5, 40, 40])
    changed = (np.asarray(seen.images[0]) != before).any(-1)
    assert np.array_equal(changed, outline(10, 20, 70, 60, 3) | outline(5, 5, 40, 40, 3))
