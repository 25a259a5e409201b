"""Episodes of the tiny model's prompts with scripted replies."""

import asyncio

from makers import builder

from medrl.data.adapters import phantom_detail
from medrl.learning.demonstrations import Script
from medrl.recipe import Env
from medrl.rollout.episode import run_episode
from medrl.rollout.interaction import load_interaction
from medrl.rollout.types import Sampling

ANSWER = "<think>rows</think><answer>A</answer>"


def call(box, name="zoom", **more):
    arguments = ", ".join([f'"bbox_2d": {list(box)}', *(f'"{key}": {value}' for key, value in more.items())])
    return f'<think>there</think><tool_call>{{"name": "{name}", "arguments": {{{arguments}}}}}</tool_call>'


def zooming(**given):
    return load_interaction(Env(**{"use": "envs/zoom.py:ZoomEnv", "kwargs": {"name": "zoom"}, "max_turns": 4, **given}))


def making(loaded, **changes):
    made = builder(loaded, **changes)
    made.max_pixels = 12544  # 112 x 112 of the 448 x 448 pictures
    return made


def detail(number=0):
    return list(phantom_detail.read(None, "train", n=number + 1))[number]


def play(made, replies, interaction, sample=None, budget=900):
    prompt = made.build(sample or detail())
    script = Script(made, replies)
    return asyncio.run(run_episode(script, made, prompt, 0, Sampling(max_new_tokens=budget), interaction))
