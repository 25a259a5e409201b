"""Replies as no model should write them, played through the parser and every environment: `python tests/fuzzing.py 100000`.

A reply starts as an action that is right or nearly so and is then cut, doubled, nested and sprinkled with odd characters,
so that both faults and confirmed actions are common. What must hold for each is in `check`.
"""

import json
import random
import string
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from scenes import Playing, encoded, sample_of

from medrl.dialogue.actions import PROTOCOLS
from medrl.plugin import load_plugin
from medrl.recipe import Env
from medrl.rollout.check_env import BAD_VALUES
from medrl.rollout.env import Action
from medrl.rollout.episode import _act, _show
from medrl.rollout.interaction import load_interaction

MOST_PICTURES = 6
ARGUMENTS = {  # of all tools, with values that are often right
    "bbox_2d": lambda rng: [rng.randint(-9, 40), rng.randint(-9, 30), rng.randint(20, 99), rng.randint(15, 70)],
    "image": lambda rng: rng.choice([0, 0, 0, 0, 1, 2, 5, -1]),
    "label": lambda rng: "a lesion",
    "level": lambda rng: rng.choice([40, 300, 2e3, -600.5]),
    "width": lambda rng: rng.choice([400, 1, 0, 1e9]),
    "limit": lambda rng: rng.uniform(0, 50),
    "angle": lambda rng: rng.choice([90, 180, 270, 45, -90]),
    "number": lambda rng: rng.randint(0, 4),
    "start": lambda rng: [rng.uniform(-5, 64), rng.uniform(-5, 48)],
    "end": lambda rng: [rng.uniform(0, 70), rng.uniform(0, 53)],
    "query": lambda rng: rng.choice(["effusion", "bone", "", "zebra"]),
    "top_k": lambda rng: rng.randint(0, 6),
    "source": lambda rng: rng.choice(["original_image", "observation_1", "observation_7", "observation_x"]),
}
TOOLS = {
    "zoom": ["bbox_2d", "image"], "mark": ["bbox_2d"], "window": ["level", "width"], "contrast": ["limit"],
    "rotate": ["angle"], "slice": ["number"], "measure": ["start", "end", "image"], "search": ["query", "top_k", "image"],
    "Terminate": ["label"], "zooom": ["bbox_2d"], "__class__": [], "": ["bbox_2d"],
}  # fmt: skip
ODD_NUMBERS = [
    "NaN", "Infinity", "-Infinity", "1e999", "1e308", "-1e-320", "9" * 400, "0x1F", "1_000", "00", "1e", "-", "٣", "true",
]  # fmt: skip
ODD_TEXTS = [
    "\x00", "\u2028", "\ufeff", "é", "𝔸", "\\ud800", "\\u0000", "<|im_end|>", "<|image_pad|>", "<image>", "\r\n", "\t",
    "'", '"', "\\", "{", "}", "[", "]", ",", ":", "null", "```json", "```", "<tool_call>", "</tool_call>", "<grounding>",
    "</grounding>", "<think>", "</think>", "<answer>B</answer>", " " * 300, "{" * 300, '{"a":' * 30, "x" * 25_000,
]  # fmt: skip
THOUGHTS = ["<think>look there</think>", "", "I will look.", "<think>", "<answer>B</answer>"]


def reply(rng: random.Random) -> str:
    """One reply: an action of some tool in some way of writing, mended or broken by chance."""
    name = rng.choice(list(TOOLS))
    keys = [key for key in TOOLS[name] if rng.random() < 0.93] + [key for key in ARGUMENTS if rng.random() < 0.02]
    arguments = {key: rng.choice(BAD_VALUES) if rng.random() < 0.08 else ARGUMENTS[key](rng) for key in keys}
    text = _written(name, arguments, rng)
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2, 4])):
        text = _broken(text, rng)
    return text


def _written(name: str, arguments: dict, rng: random.Random) -> str:
    call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.1:
        call = json.dumps({"name": name, **arguments})
    way = rng.choice([0, 0, 1, 1, 2, 3])
    if way == 0:
        return f"{rng.choice(THOUGHTS)}<tool_call>{call}</tool_call>"
    if way == 1:
        return json.dumps({"thought": "there", "actions": [json.loads(call)] * rng.randint(1, 2)})
    if way == 2:
        body = {"bbox_2d": ARGUMENTS["bbox_2d"](rng), "source": ARGUMENTS["source"](rng), **arguments}
        return f"{rng.choice(THOUGHTS)}<grounding>{json.dumps(body)}</grounding>"
    return rng.choice(THOUGHTS) + call


def _broken(text: str, rng: random.Random) -> str:
    place, kind = rng.randrange(len(text) + 1), rng.randrange(8)
    if kind == 0:
        return text[:place]
    if kind == 1:
        return text[place:]
    if kind == 2:
        return text[:place] + rng.choice(ODD_TEXTS) + text[place:]
    if kind == 3:
        return text[:place] + text[max(0, place - rng.randrange(40)) :]
    if kind == 4:
        return text.replace('"', rng.choice(["'", "", '\\"', "“"]))
    if kind == 5:
        digits = [at for at, one in enumerate(text) if one.isdigit()]
        at = rng.choice(digits) if digits else 0
        return text[:at] + rng.choice(ODD_NUMBERS) + text[at + 1 :]
    if kind == 6:
        return text[:place] + "".join(rng.choices(string.printable, k=rng.randrange(12))) + text[place:]
    return text.swapcase() if rng.random() < 0.1 else text + text


def environments(folder: Path) -> dict[str, Env]:
    """The `env:` section of a recipe for each environment that ships, and for all of them as one."""
    (folder / "library.jsonl").write_text('{"text": "a pleural effusion"}\n{"text": "bone", "image": "bone.png"}\n')
    Image.new("L", (40, 30), 90).save(folder / "bone.png")
    kwargs = {
        "zoom.py:ZoomEnv": {"name": "zoom", "side_px": 64}, "mark.py:MarkEnv": {}, "view.py:ViewEnv": {},
        "measure.py:MeasureEnv": {}, "retrieve.py:RetrieveEnv": {"corpus": str(folder / "library.jsonl")},
    }  # fmt: skip
    every = [{"use": f"envs/{name}", "kwargs": given} for name, given in kwargs.items()]
    sections = {name: Env(use=f"envs/{name}", kwargs=given) for name, given in kwargs.items()}
    return {**sections, "toolbox.py:ToolboxEnv": Env(use="envs/toolbox.py:ToolboxEnv", kwargs={"envs": every})}


def sample():
    """Three deep grey pages with a spacing: every tool has something to do."""
    pages = np.random.default_rng(0).integers(0, 4096, (3, 48, 64)).astype(np.uint16)
    first, *rest = [Image.fromarray(page) for page in pages]
    return sample_of(encoded(first, "TIFF", save_all=True, append_images=rest), pixel_spacing_mm=[0.7, 0.5])


def fuzz(count: int, seed: int = 0) -> Counter:
    """Play `count` replies and say how often what came of them; an assertion or an exception names the reply."""
    rng, found = random.Random(seed), Counter()
    with tempfile.TemporaryDirectory() as folder:
        made = {name: load_interaction(section) for name, section in environments(Path(folder)).items()}
        given = sample()
        for number in range(count):
            if number % 64 == 0:  # new episodes
                playing = {name: Playing(interaction.make_env(), given) for name, interaction in made.items()}
            text = reply(rng)
            try:
                _play(text, made, playing, found)
            except Exception as error:
                raise AssertionError(f"reply {number} of seed {seed}: {text[:300]!r}") from error
    return found


def _play(text: str, made: dict, playing: dict, found: Counter) -> None:
    for way, protocol in PROTOCOLS.items():
        asked = protocol.read(text)
        found[f"{way}: " + ("no action" if asked is None else "unreadable" if asked.fault else "read")] += 1
        _check_credit(protocol.answer(text + "<answer>B</answer>"), text)
        if asked is None:
            continue
        for name, interaction in made.items():
            scene, action = playing[name].scene, Action(asked.name, asked.arguments or {})
            seen, fault = _act(playing[name].env, interaction, asked.fault or None, action)
            found[f"{name}: {'confirmed' if fault is None else 'refused'}"] += 1
            _check(seen, fault, asked)
            if fault is None and len(scene.shown) + len(seen.images) <= MOST_PICTURES:
                _show(scene, seen)


def _check(seen, fault, asked) -> None:
    """What a model is told can be told, what is recorded is plain data of a picture that is there."""
    seen.text.encode()
    assert len(seen.text) < 5000
    if fault is not None:
        assert seen.text == f"Error: {fault}" and fault and not seen.images and not seen.confirmed
        return
    json.dumps(seen.confirmed, allow_nan=False, ensure_ascii=False).encode()
    json.dumps({"name": asked.name, "arguments": asked.arguments}, allow_nan=False, ensure_ascii=False).encode()
    assert seen.confirmed["tool"] == asked.name and (seen.images or seen.text)
    if (box := seen.confirmed.get("box_px_original")) and seen.source == 0:
        assert -1e-6 <= box[0] < box[2] <= 64 + 1e-6 and -1e-6 <= box[1] < box[3] <= 48 + 1e-6, box
    for image in seen.images:
        assert image.mode == "RGB" and max(image.size) <= 100 * min(image.size)


def _check_credit(said: str, text: str) -> None:
    """Text that asks for an action which no environment has confirmed earns nothing for it, beside the right answer too."""
    record = {"turns": [text, said], "asked": [True, False], "image_sizes": [[64, 48]], "refused": 1, "actions": []}
    extra = {"options": {"A": "MRI", "B": "CT"}, "rollout": {**record, "end_reason": "eos"}}
    for score in SCORES:
        assert score("test", said, "B", extra)["score"] <= 0, (score.__module__, said[:200])
    assert CURIOSITY([{"extra_info": extra}])[0]["score"] <= 0, said[:200]


SCORES = [
    load_plugin(f"rewards/{name}.py", "compute_score").target
    for name in ("tool", "tool_cost", "tool_discount", "refused")
]
CURIOSITY = load_plugin("rewards/curiosity.py", "compute_group_scores").target

if __name__ == "__main__":
    count, started = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, time.perf_counter()
    counts = fuzz(count, seed=int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    for name, number in sorted(counts.items()):
        print(f"{name:40}{number:>10}")
    print(f"{count} replies, {time.perf_counter() - started:.0f} s, no exception, no unconfirmed credit")
