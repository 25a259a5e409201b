"""Small makers the tests share: prompts over phantom pictures, policies, recipes."""

from pathlib import Path
from typing import Any

from medrl.data.adapters import phantom
from medrl.data.sample import Sample
from medrl.dialogue.prompts import load_style
from medrl.dialogue.tokens import Prompt, PromptBuilder
from medrl.learning.model import Loaded, load_model
from medrl.recipe import Engine, Model, Recipe, recipe_from
from medrl.rollout.types import Rollout

RECIPE: dict[str, Any] = {
    "model": {"path": "tiny", "min_pixels": 784, "max_pixels": 200704},
    "data": {
        "adapter": "phantom", "train": "train", "val": "val", "demonstrations": "demo", "options": {"task": "count"},
        "train_options": {"n": 24}, "val_options": {"n": 6}, "demonstration_options": {"n": 16},
    },
    "rewards": {"answer": {"use": "rewards/count.py"}, "format": {"use": "rewards/format.py", "weight": 0.1}},
    "sft": {"steps": 4, "batch_size": 8, "lr": 3e-3},
    "algorithm": {"group_size": 4},
    "sampling": {"max_new_tokens": 12, "max_prompt_tokens": 256},
    "optimizer": {"lr": 1e-3},
    "training": {"steps": 4, "prompts_per_step": 4},
    "val": {"every": 2},
    "checkpoint": {"every": 2},
    "engine": {"threads": 1, "device": "cpu"},
    "scoring": {"workers": 0},
}  # fmt: skip


def recipe(runs_dir: Path, name: str = "test", **changes: Any) -> Recipe:
    """The small recipe above; `changes` are sections whose keys replace those given."""
    given = {**RECIPE, "runs_dir": str(runs_dir)}
    for section, values in changes.items():
        merge = isinstance(values, dict) and section != "rewards"
        given[section] = {**given.get(section, {}), **values} if merge else values
    return recipe_from(given, "tests", name)


def tiny(seed: int = 0, **model: Any) -> Loaded:
    """The tiny model ready to learn, on the CPU."""
    return load_model(Model(path="tiny", **model), Engine(device="cpu"), seed, Path("unused"))


def builder(loaded: Loaded, style: str = "think", max_prompt_tokens: int = 512) -> PromptBuilder:
    return PromptBuilder(
        loaded.processor,
        loaded.family,
        load_style(style),
        min_pixels=784,
        max_pixels=200704,
        max_prompt_tokens=max_prompt_tokens,
    )


def samples(n: int, task: str = "count", **options: Any) -> list[Sample]:
    return [item for item in phantom.read(None, "train", task=task, n=n, **options) if isinstance(item, Sample)]


def prompts(loaded: Loaded, n: int, **options: Any) -> list[Prompt]:
    making = builder(loaded)
    return [making.build(sample) for sample in samples(n, **options)]


def rollout(prompt: Prompt, token_ids: list[int], advantage: float | None = 1.0, **values: Any) -> Rollout:
    """A rollout of given tokens, all of them the model's own."""
    made = Rollout(
        prompt=prompt, attempt=0, token_ids=token_ids, mask=[1] * len(token_ids), logprobs=[0.0] * len(token_ids),
        text="", end_reason="eos", **values,
    )  # fmt: skip
    made.advantage = advantage
    return made


def tagged(answer: str) -> str:
    """A well-formed reply that gives this answer."""
    return f"<think>I look.</think><answer>{answer}</answer>"
