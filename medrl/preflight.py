"""Everything that can be wrong with a run, found before a model is loaded: data, pictures, prompts, rewards, budgets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medrl.data.sample import Sample
from medrl.data.source import DataSet, load, tell_reasons
from medrl.dialogue.prompts import PromptStyle, load_style
from medrl.dialogue.tokens import PromptBuilder
from medrl.errors import MedrlError
from medrl.learning.model import load_processor, pick_device
from medrl.recipe import Recipe
from medrl.scoring.rewards import LoadedReward, load_rewards, probe
from medrl.vision.open import open_image

# decoding every picture finds truncated files; beyond this many only headers are read
DECODE_AT_MOST = 5000
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """A checked recipe and what was loaded to check it."""

    recipe: Recipe
    train: DataSet
    val: DataSet
    demonstrations: DataSet | None
    rewards: list[LoadedReward]
    style: PromptStyle
    builder: PromptBuilder
    longest_prompt: int
    warnings: list[str]


def check(recipe: Recipe, beside: Path | None = None, progress: Progress | None = None) -> Plan:
    """Load data, rewards, prompt style and processor, and try them on each other. MedrlError lists every fault found."""
    problems: list[str] = []
    loaded: dict[str, DataSet | None] = {}
    root = Path(recipe.data.root) if recipe.data.root else None

    def attempt(work: Callable[[], object]) -> object | None:
        try:
            return work()
        except MedrlError as error:
            problems.append(str(error))
            return None

    data = recipe.data
    for name, split, options in (
        ("train", data.train, data.train_options),
        ("val", data.val, data.val_options),
        ("demonstrations", data.demonstrations or data.train, data.demonstration_options or data.train_options),
    ):
        if name == "demonstrations" and recipe.sft.steps == 0:
            loaded[name] = None
            continue
        limit = recipe.val.max_samples if name == "val" else None
        if name == "demonstrations" and data.demonstrations is None and not data.demonstration_options:
            loaded[name] = loaded["train"]
            continue
        merged = {**data.options, **options}
        found = attempt(lambda s=split, o=merged, n=limit: load(data.adapter, root, s, o, beside=beside, limit=n))  # type: ignore[misc]
        loaded[name] = found if isinstance(found, DataSet) else None
    rewards = attempt(lambda: load_rewards(recipe.rewards, beside))
    style = attempt(lambda: load_style(recipe.prompt.style, beside))
    processor = attempt(lambda: load_processor(recipe.model.path))
    attempt(lambda: pick_device(recipe.engine.device))
    train, val, demonstrations = loaded["train"], loaded["val"], loaded["demonstrations"]
    if (
        problems
        or train is None
        or val is None
        or not isinstance(style, PromptStyle)
        or not isinstance(processor, tuple)
    ):
        raise MedrlError("\n".join(problems))
    assert isinstance(rewards, list)

    builder = PromptBuilder(
        processor[0],
        processor[1],
        style,
        min_pixels=recipe.model.min_pixels,
        max_pixels=recipe.model.max_pixels,
        max_prompt_tokens=recipe.sampling.max_prompt_tokens,
        root=train.root,
    )
    for name, items, size in (
        ("training.prompts_per_step", train, recipe.training.prompts_per_step),
        ("sft.batch_size", demonstrations, recipe.sft.batch_size),
    ):
        if items is not None and len(items.samples) < size:
            problems.append(f"{name}={size}, but there are only {len(items.samples)} samples. Lower it or add data.")
    if demonstrations is not None:
        without = sum(sample.demonstration is None for sample in demonstrations.samples)
        if without:
            problems.append(
                f"sft.steps={recipe.sft.steps} asks for a cold start, but {without} of {len(demonstrations.samples)} samples have "
                "no demonstration (extra_info.demonstration). Use data that has them, or sft.steps=0."
            )
    for name, items in (("train", train), ("val", val)):
        rows = len(items.refused) + len(items.samples)
        share = len(items.refused) / rows
        if share > recipe.data.max_refused:
            problems.append(
                f"data.{name}={getattr(data, name)}: {len(items.refused)} of {rows} rows cannot be "
                f"used{tell_reasons(items.refused)}. Mend them, or set data.max_refused={share + 0.005:.2f} to train without them."
            )
    everything = [*train.samples, *val.samples, *(demonstrations.samples if demonstrations else [])]
    longest, faults = _count(builder, everything, recipe.sampling.max_prompt_tokens, progress)
    problems += faults
    if not problems:
        attempt(lambda: probe(rewards, builder.build(val.samples[0])))
    if problems:
        raise MedrlError("\n".join(problems))
    warnings = [
        f"{name}: training without {len(items.refused)} unusable rows{tell_reasons(items.refused)}"
        for name, items in (("train", train), ("val", val))
        if items.refused
    ]
    return Plan(recipe, train, val, demonstrations, rewards, style, builder, longest, warnings)


def _count(
    builder: PromptBuilder, samples: Sequence[Sample], most: int, progress: Progress | None
) -> tuple[int, list[str]]:
    """(longest prompt in tokens, what is wrong with any sample). Pictures are counted in, never truncated."""
    longest, too_long, faults = 0, [], []
    distinct: set[int] = set()
    decode = len(samples) <= DECODE_AT_MOST
    for number, sample in enumerate(samples):
        if progress:
            progress("checking samples", number + 1, len(samples))
        if id(sample) in distinct:
            continue
        distinct.add(id(sample))
        try:
            if decode:
                for image in sample.images:
                    open_image(image, builder.root)
            tokens = builder.count(sample)
        except MedrlError as error:
            faults.append(f"{sample.id}: {error}")
            continue
        longest = max(longest, tokens)
        if tokens > most:
            too_long.append((tokens, sample.id))
    if len(faults) > 5:
        faults = [*faults[:5], f"… and {len(faults) - 5} more samples with such faults."]
    if too_long:
        worst, name = max(too_long)
        faults.append(
            f"{len(too_long)} of {len(samples)} prompts are longer than sampling.max_prompt_tokens={most}; the longest, {name}, "
            f"has {worst} tokens, pictures included. Lower model.max_pixels={builder.max_pixels} "
            "or raise sampling.max_prompt_tokens; "
            "prompts with pictures are never cut."
        )
    return longest, faults
