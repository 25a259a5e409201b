"""The cold-started tiny model that both sides of a benchmark load, and the prompts of its task."""

from medrl.data.source import load
from medrl.dialogue.prompts import load_style
from medrl.dialogue.tokens import PromptBuilder
from medrl.learning.cold_start import cold_start
from medrl.learning.model import load_model, load_processor, save_model
from medrl.recipe import Engine, Model, Sft

PIXELS = {"min_pixels": 784, "max_pixels": 200704}


def make_model(folder, sft_steps, seed):
    """The tiny model after a short cold start, so that replies end by themselves, with its processor."""
    loaded = load_model(Model(path="tiny", **PIXELS), Engine(device="cpu"), seed, folder)
    demonstrations = load("phantom", None, "demo", {"task": "count", "n": 512}).samples
    settings = Sft(steps=sft_steps, batch_size=32, lr=3e-3, warmup_steps=min(30, sft_steps // 2))
    cold_start(loaded.policy, prompt_builder("tiny"), demonstrations, settings, seed, lambda entry: None)
    save_model(loaded.policy, loaded.processor, folder)


def prompt_builder(path):
    return PromptBuilder(*load_processor(path), load_style("think"), **PIXELS, max_prompt_tokens=256)
