"""Everything that can be wrong with a run, found before a model is loaded: data, pictures, prompts, rewards, budgets."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medrl.data.of_recipe import load_split as load_split
from medrl.data.sample import Sample
from medrl.data.source import DataSet, tell_reasons
from medrl.dialogue.prompts import PromptStyle, load_style
from medrl.dialogue.taught import check_taught, taught_with
from medrl.dialogue.tokens import PromptBuilder
from medrl.errors import MedrlError
from medrl.evaluation.shortcut_gate import judge
from medrl.evaluation.slices import slice_faults
from medrl.learning.demonstrations import imitated
from medrl.learning.estimator import Estimator, load_estimator
from medrl.learning.filtering import warnings_of
from medrl.learning.model import load_config, load_processor, pick_device
from medrl.learning.pass_rates import PassRates, coverage_faults, read_pass_rates, shared_ids
from medrl.learning.plan import Plan
from medrl.learning.stages import stage_faults, told_of
from medrl.learning.try_estimator import try_estimator
from medrl.plugin import find_file
from medrl.recipe import Recipe
from medrl.record.health_rules import never_judged
from medrl.rollout.interaction import load_interaction
from medrl.scoring.loaded import LoadedReward, load_rewards
from medrl.scoring.rewards import probe
from medrl.scoring.workers.service import Service, open_service
from medrl.vision.open import open_image
from medrl.vision.resize import ImageFamily

# decoding every picture finds truncated files; beyond this many only headers are read
DECODE_AT_MOST = 5000
TRIED_DEMONSTRATIONS = 8  # played through the environment before anything starts
Progress = Callable[[str, int, int], None]


def check(recipe: Recipe, beside: Path | None = None, progress: Progress | None = None) -> Plan:
    """Load data, rewards, prompt style and processor, and try them on each other. MedrlError lists every fault found."""
    problems: list[str] = []
    train = val = demonstrations = style = processor = interaction = estimator = None
    rewards: list[LoadedReward] = []
    report = progress or (lambda what, done, total: None)
    report("reading data", 0, 3)
    with collecting(problems):
        train = load_split(recipe, "train", beside)
    report("reading data", 1, 3)
    with collecting(problems):
        val = load_split(recipe, "val", beside)
    report("reading data", 2, 3)
    if recipe.sft.steps:
        with collecting(problems):
            own = recipe.data.demonstrations or recipe.data.demonstration_options
            demonstrations = load_split(recipe, "demonstrations", beside) if own else train
    report("reading data", 3, 3)
    with collecting(problems):
        rewards = load_rewards(recipe.rewards, beside)
    with collecting(problems):
        estimator = load_estimator(recipe.algorithm, beside)
    with collecting(problems):
        interaction = load_interaction(recipe.env, beside)
    with collecting(problems):
        style = load_style(recipe.prompt.style, beside, interaction.tools if interaction else ())
    with collecting(problems):
        processor = load_processor(recipe.model.path)
        problems += _family_faults(recipe, processor[1])
    with collecting(problems):
        pick_device(recipe.engine.device)
        problems += _cluster_faults(recipe)
    if style and (interaction or not recipe.env.use):
        with collecting(problems):
            tools = interaction.tools if interaction else ()
            check_taught(recipe.model.path, taught_with(style, tools, recipe.env.action_format))
    if problems or train is None or val is None or style is None or processor is None or estimator is None:
        raise MedrlError("\n".join(problems))
    builder = make_builder(recipe, processor, style, train.root)
    problems += _data_faults(recipe, train, val, demonstrations)
    measured, misplaced = _curriculum(recipe, train, beside)
    problems += misplaced
    everything = [*train.samples, *val.samples, *(demonstrations.samples if demonstrations else [])]
    longest, faults = _count(builder, everything, recipe.sampling.max_prompt_tokens, report)
    problems += faults
    if interaction and demonstrations and not problems:
        with collecting(problems):  # an action the environment refuses would be learnt
            tried = demonstrations.samples[:TRIED_DEMONSTRATIONS]
            imitated(builder, [builder.build(sample) for sample in tried], interaction)
    if not problems:
        with collecting(problems), open_service(recipe.scoring, rewards) as pool:
            problems += _reward_faults(rewards, builder, everything, pool)
    if estimator.sha256 is not None and not problems:
        with collecting(problems):
            tried_on = [train.samples[at] for at in (0, len(train.samples) // 2, -1)]
            try_estimator(estimator, recipe, [builder.build(sample) for sample in tried_on])
    shortcut, told = "", list[str]()
    with collecting(problems):
        shortcut, told = judge(train.samples, val.samples, recipe.data.max_shortcut, train.root, report)
    memory, misfits = _cluster_plan(recipe, longest)
    problems += misfits
    if problems:
        raise MedrlError("\n".join(problems))
    unusable = [
        f"{name}: training without {len(items.refused)} unusable rows{tell_reasons(items.refused)}"
        for name, items in (("train", train), ("val", val))
        if items.refused
    ]
    curriculum = told_of(recipe, train.samples, measured.rates if measured else None)
    warnings = [
        *unusable, *told, *curriculum, *_domain_warnings(recipe, estimator, train.samples), *never_judged(recipe),
        *warnings_of(recipe, train.samples),
    ]  # fmt: skip
    return Plan(
        recipe,
        beside or Path.cwd(),
        train,
        val,
        demonstrations,
        rewards,
        style,
        builder,
        interaction,
        estimator,
        longest,
        warnings,
        memory,
        shortcut,
        measured,
    )


def make_builder(recipe: Recipe, processor: tuple[Any, ImageFamily], style: PromptStyle, root: Path) -> PromptBuilder:
    return PromptBuilder(
        processor[0],
        processor[1],
        style,
        min_pixels=recipe.model.min_pixels,
        max_pixels=recipe.model.max_pixels,
        max_prompt_tokens=recipe.sampling.max_prompt_tokens,
        root=root,
    )


def _cluster_faults(recipe: Recipe) -> list[str]:
    """What engine verl cannot do, or not on this machine; nothing for engine local."""
    if recipe.engine.name != "verl":
        return []
    from medrl.cluster.ready import machine_faults  # light: neither verl nor ray is imported to check for them
    from medrl.cluster.settings import refused

    return [*refused(recipe), *machine_faults(recipe)]


def _domain_warnings(recipe: Recipe, estimator: Estimator, samples: Sequence[Sample]) -> list[str]:
    """An estimator that weighs domains against each other, and cannot see how they do: only one, or the filter hides it."""
    if "domains" not in estimator.asks_for:
        return []
    if recipe.algorithm.filter_groups:
        return [
            f"algorithm.advantage={estimator.name} with algorithm.filter_groups: questions that are always wrong are left out "
            "before the estimator sees them, so a domain that fails altogether looks no worse than the others. Set "
            "algorithm.filter_groups=false"
        ]
    names = {sample.slice_of(recipe.data.slice_by) for sample in samples}
    if len(names) > 1:
        return []
    by = recipe.data.slice_by or "data_source, since data.slice_by is not set"
    return [
        f"algorithm.advantage={estimator.name}: weighs domains against each other, and every training sample is of {names.pop()} "
        f"(by {by}). Set data.slice_by to what tells them apart, such as modality"
    ]


def _family_faults(recipe: Recipe, family: ImageFamily) -> list[str]:
    """What the engine cannot do with a model of this family."""
    if recipe.engine.name != "verl" or not family.tile_px:
        return []
    return [
        f"model.path={recipe.model.path}: engine.name=verl trains Qwen-VL models; the pictures of the family "
        f"{family.model_type} are cut into tiles, which verl does not hand on. Use engine.name=local, or another model."
    ]


def _cluster_plan(recipe: Recipe, longest_prompt: int) -> tuple[list[str], list[str]]:
    """(memory per GPU as a table, what does not divide or fit) of engine verl."""
    if recipe.engine.name != "verl":
        return [], []
    from medrl.cluster.layout import layout_faults
    from medrl.cluster.memory import estimate, faults, gpu_memory

    config = load_config(recipe.model.path)
    gpu_bytes = gpu_memory() if pick_device(recipe.engine.device) == "cuda" else None
    if misfits := layout_faults(recipe, config):
        return [], misfits
    plan = estimate(recipe, config, longest_prompt)
    return plan.lines(gpu_bytes), faults(plan, gpu_bytes)


@contextmanager
def collecting(problems: list[str]) -> Iterator[None]:
    """Keep a MedrlError's text and go on, so that the next fault is found too."""
    try:
        yield
    except MedrlError as error:
        problems.append(str(error))


def _data_faults(recipe: Recipe, train: DataSet, val: DataSet, demonstrations: DataSet | None) -> list[str]:
    problems = []
    for name, items, size in (
        ("training.prompts_per_step", train, recipe.training.prompts_per_step),
        ("sft.batch_size", demonstrations, recipe.sft.batch_size),
    ):
        if items is not None and len(items.samples) < size:
            problems.append(f"{name}={size}, but there are only {len(items.samples)} samples. Lower it or add data.")
    without = sum(not sample.demonstration for sample in demonstrations.samples) if demonstrations else 0
    if demonstrations and without:
        problems.append(
            f"sft.steps={recipe.sft.steps} asks for a cold start, but {without} of {len(demonstrations.samples)} samples have "
            "no demonstration (extra_info.demonstration). Use data that has them, or sft.steps=0."
        )
    for name, items in (("train", train), ("val", val)):
        problems += refused_faults(recipe, name, items)
        problems += slice_faults(recipe.data.slice_by, f"data.{name}", items.samples)
    return problems


def refused_faults(recipe: Recipe, name: str, items: DataSet) -> list[str]:
    rows = len(items.refused) + len(items.samples)
    share = len(items.refused) / rows
    if share <= recipe.data.max_refused:
        return []
    return [
        f"data.{name}={getattr(recipe.data, name) or recipe.data.train}: {len(items.refused)} of {rows} rows cannot be used"
        f"{tell_reasons(items.refused)}. Mend them, or set data.max_refused={share + 0.005:.2f} to train without them."
    ]


def _curriculum(recipe: Recipe, train: DataSet, beside: Path | None) -> tuple[PassRates | None, list[str]]:
    """(measured pass rates, what the curriculum asks of the data that they do not have)."""
    curriculum = recipe.curriculum
    problems = shared_ids(train.samples) if curriculum.replay_share > 0 else []
    if curriculum.pass_rates is None:
        return None, problems + (stage_faults(recipe, train.samples) if curriculum.stages else [])
    try:
        measured = read_pass_rates(find_file(curriculum.pass_rates, beside))
    except MedrlError as error:
        return None, [*problems, f"curriculum.pass_rates (a file of `medrl data difficulty`): {error}"]
    if misplaced := coverage_faults(measured, train, train.samples):
        return measured, misplaced
    return measured, stage_faults(recipe, train.samples, measured.rates)


def _reward_faults(
    rewards: Sequence[LoadedReward], builder: PromptBuilder, samples: Sequence[Sample], pool: Service | None
) -> list[str]:
    """Try the rewards on the first sample of every kind."""
    problems: list[str] = []
    first: dict[str, Sample] = {}
    for sample in samples:
        first.setdefault(str(sample.kind), sample)
    for kind, sample in first.items():
        if not any(reward.applies(sample) for reward in rewards):
            problems.append(
                f"no reward applies to questions of kind {kind}, such as {sample.id}. Add one, or set data.kinds."
            )
            continue
        with collecting(problems):
            probe(rewards, builder.build(sample), pool)
    return problems


def _count(builder: PromptBuilder, samples: Sequence[Sample], most: int, report: Progress) -> tuple[int, list[str]]:
    """(longest prompt in tokens, what is wrong with any sample). Pictures are counted in, never truncated."""
    longest, too_long, faults = 0, [], []
    distinct: set[int] = set()
    decode = len(samples) <= DECODE_AT_MOST
    for number, sample in enumerate(samples):
        report("checking samples", number + 1, len(samples))
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
