"""A small recipe for `medrl sft` with zoom trajectories, shared by its tests."""

import json
from pathlib import Path

from makers import recipe

CHANGES = {
    "model": {"max_pixels": 12544},
    "data": {
        "adapter": "phantom_detail", "options": {}, "train_options": {"n": 16}, "demonstration_options": {"n": 16},
    },
    "env": {"use": "envs/zoom.py:ZoomEnv", "kwargs": {"name": "zoom"}},
    "rewards": {"answer": {"use": "rewards/choice.py"}},
    "sft": {"steps": 4, "batch_size": 8, "lr": 3e-3, "micro_batch_size": 4},
    "sampling": {"max_new_tokens": 120},
}  # fmt: skip


def sft_recipe(runs_dir: Path, name: str = "test", **changes):
    merged = dict(CHANGES)
    for section, values in changes.items():
        merged[section] = {**merged.get(section, {}), **values}
    return recipe(runs_dir, name, **merged)


def journal(folder: Path, *keys: str) -> list[tuple[float, ...]]:
    entries = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [tuple(entry[key] for key in keys) for entry in entries]
