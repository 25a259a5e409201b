"""What an environment costs: a zoom as an episode does it, against PIL's crop and resize alone, and whether it is the same crop.

    python benchmarks/crop.py [--rounds 5] [--crops 40]

Both sides do every crop in turn (A B, then B A), on pictures of 1024 to 2048 pixels, each region enlarged to 1024. Ours
reads the action out of the reply, finds the region in the frame the model answers in, traces it to the original and
records what was done. Prints a table and, as its last line, one JSON object: `ratio` is ours by PIL's, the median over pairs;
`ratio_cpu` is the same in CPU seconds, which a busy machine disturbs less.
"""

import argparse
import json
import platform
import time

import numpy as np
import PIL
from PIL import Image

import medrl
from medrl.recipe import Env
from medrl.rollout.env import Action, Scene
from medrl.rollout.episode import _act, _show
from medrl.rollout.interaction import load_interaction
from medrl.vision.resize import family_of, resized_size

SIDES = ((1024, 1024), (1536, 1200), (2048, 1664))  # a CT enlarged, a photograph, a radiograph
FRAME, FAMILY, MAX_PIXELS, SIDE = "px_model", family_of("qwen2_5_vl"), 1024 * 1024, 1024
NAME = "image_zoom_in_tool"


def model_size(size):
    return resized_size(*size, FAMILY, min_pixels=3136, max_pixels=MAX_PIXELS)


def regions(size, count, rng):
    """Boxes in whole pixels of a picture, 256 to 512 a side, which are enlarged at least twice."""
    for _ in range(count):
        width, height = (int(side) for side in rng.integers(256, 513, 2))
        left, top = int(rng.integers(0, size[0] - width)), int(rng.integers(0, size[1] - height))
        yield left, top, left + width, top + height


def bare(picture, box):
    """The crop alone, enlarged so that its longer side is SIDE."""
    crop = picture.crop(box)
    scale = min(4.0, SIDE / max(crop.size))
    return crop.resize((round(crop.width * scale), round(crop.height * scale)), Image.Resampling.BICUBIC)


def ours(interaction, env, scene, reply):
    """All an episode does between the reply's text and the picture's tokens."""
    asked = interaction.protocol.read(reply)
    seen, fault = _act(env, interaction, asked.fault or None, Action(asked.name, asked.arguments or {}))
    _show(scene, seen)
    return seen, fault


def reply_for(box, size):
    """What a model would write, in its frame, unrounded so that the pixels asked for are known."""
    across, down = (model / own for model, own in zip(model_size(size), size))
    named = [box[0] * across, box[1] * down, box[2] * across, box[3] * down]
    call = json.dumps({"name": NAME, "arguments": {"bbox_2d": named, "image": 0}})
    return f"<think>A closer look at this region is needed.</think><tool_call>{call}</tool_call>"


def measure(size, crops, rounds, rng):
    """Seconds of every pair (ours, PIL's, and the same in CPU seconds) and the largest difference of a pixel's value or of a
    box's edge."""
    picture = Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))
    interaction = load_interaction(Env(use="envs/zoom.py:ZoomEnv", kwargs={"enlarge": 4.0, "side_px": SIDE}))
    pairs, worst = [], 0.0
    for turn in range(rounds):
        scene, env = Scene(FRAME, model_size), interaction.make_env()
        scene.show(picture, 0, (0.0, 0.0, float(size[0]), float(size[1])))
        env.reset(None, scene)
        for number, box in enumerate(regions(size, crops, rng)):
            reply, seconds, cpu, made = reply_for(box, size), {}, {}, {}
            for side in ("ours", "bare") if (turn + number) % 2 else ("bare", "ours"):
                start, start_cpu = time.perf_counter(), time.process_time()
                made[side] = ours(interaction, env, scene, reply) if side == "ours" else bare(picture, box)
                seconds[side], cpu[side] = time.perf_counter() - start, time.process_time() - start_cpu
            seen, fault = made["ours"]
            assert fault is None, fault
            assert seen.images[0].size == made["bare"].size, "the crops differ in size"
            off = np.abs(np.asarray(seen.images[0], dtype=int) - np.asarray(made["bare"], dtype=int)).max()
            edges = max(abs(edge - wanted) for edge, wanted in zip(seen.confirmed["box_px_original"], box))
            worst = max(worst, float(off), edges)
            pairs.append((seconds["ours"], seconds["bare"], cpu["ours"], cpu["bare"]))
            del scene.shown[1:]  # an episode shows a few pictures, not hundreds
    return pairs, worst


def main() -> None:
    parser = argparse.ArgumentParser(description="A zoom step against PIL's crop and resize.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--crops", type=int, default=40)
    given = parser.parse_args()
    rng, everything, worst, table = np.random.default_rng(0), [], 0.0, {}
    print(f"{'picture':14}{'ours ms':>10}{'PIL ms':>10}{'ratio':>8}{'CPU':>8}{'error':>8}")
    for size in SIDES:
        measure(size, 3, 1, rng)  # warm up
        pairs, error = measure(size, given.crops, given.rounds, rng)
        table[f"{size[0]} x {size[1]}"] = row(pairs, error)
        everything, worst = everything + pairs, max(worst, error)
    table["all"] = row(everything, worst)
    for name, one in table.items():
        print(
            f"{name:14}{one['ours_ms']:10.2f}{one['pil_ms']:10.2f}{one['ratio']:8.3f}{one['ratio_cpu']:8.3f}{one['error']:8.1g}"
        )
    versions = {"medrl": medrl.__version__, "pillow": PIL.__version__, "python": platform.python_version()}
    print(json.dumps({**table["all"], "n": len(everything), "rows": table, "versions": versions}))


def row(pairs, error):
    ours_s, pil_s, ours_cpu_s, pil_cpu_s = (np.array(column) for column in zip(*pairs))
    return {
        "ratio": round(float(np.median(ours_s / pil_s)), 4),
        "ratio_cpu": round(float(np.median(ours_cpu_s / pil_cpu_s)), 4),
        "ours_ms": round(1000 * float(np.median(ours_s)), 3),
        "pil_ms": round(1000 * float(np.median(pil_s)), 3),
        "error": error,
    }


if __name__ == "__main__":
    main()
