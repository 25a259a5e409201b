"""Everything that can be wrong with `medrl sft`, found before a model is loaded: data, demonstrations, budgets, processes.

Apart from preflight.py, so that training does not pay for importing transformers' Trainer.
"""

from pathlib import Path

from medrl.dialogue.prompts import load_style
from medrl.errors import MedrlError
from medrl.learning.demonstrations import Demonstrated, as_recorded, imitated
from medrl.learning.kept_rollouts import kept_rollouts, read_keep
from medrl.learning.model import load_processor, pick_device
from medrl.learning.parallel import parallel_faults
from medrl.learning.sft import SftPlan
from medrl.preflight import (
    DECODE_AT_MOST,
    TRIED_DEMONSTRATIONS,
    Progress,
    collecting,
    load_split,
    make_builder,
    refused_faults,
)
from medrl.recipe import Recipe
from medrl.rollout.interaction import load_interaction


def check_sft(
    recipe: Recipe,
    beside: Path | None = None,
    progress: Progress | None = None,
    *,
    from_rollouts: Path | None = None,
    keep: str | None = None,
    processes: int = 1,
    thorough: bool = True,
) -> SftPlan:
    """What `medrl sft` needs, loaded and tried: the demonstrations are played through the environment. MedrlError lists the
    faults. `from_rollouts`: a run whose correct rollouts are imitated, `keep` which. `thorough`: all of them, not a few."""
    problems: list[str] = []
    data = style = processor = interaction = None
    report = progress or (lambda what, done, total: None)
    if recipe.sft.steps < 1:
        problems.append(f"sft.steps={recipe.sft.steps}: expected at least 1 for `medrl sft`.")
    with collecting(problems):
        name, least = read_keep(keep, list(recipe.rewards)) if from_rollouts else ("", 0.0)
    with collecting(problems):
        data = load_split(recipe, "train" if from_rollouts else "demonstrations", beside)
    with collecting(problems):
        interaction = load_interaction(recipe.env, beside) or as_recorded(recipe.env)
    with collecting(problems):
        style = load_style(recipe.prompt.style, beside, interaction.tools if interaction else ())
    with collecting(problems):
        processor = load_processor(recipe.model.path)
    with collecting(problems):
        pick_device(recipe.engine.device)
    if problems or data is None or style is None or processor is None or interaction is None:
        raise MedrlError("\n".join(problems))
    builder = make_builder(recipe, processor, style, data.root)
    digest, items = data.sha256, [Demonstrated(sample) for sample in data.samples]
    notes = [f"{one.place}: {one.reason}" for one in data.refused]
    if from_rollouts:
        kept = kept_rollouts(from_rollouts, data.samples, builder, name, least)
        digest, items = kept.sha256, kept.items
        notes += [f"{from_rollouts}: {count} rollouts left out ({reason})" for reason, count in kept.left_out.items()]
    else:
        problems += refused_faults(recipe, "demonstrations", data)
    if len(items) < recipe.sft.batch_size:
        problems.append(
            f"sft.batch_size={recipe.sft.batch_size}, but there are only {len(items)} demonstrations. Lower it or add data."
        )
    without = sum(not item.sample.images for item in items)
    problems += parallel_faults(recipe, processes, without, len(items))
    tried = items if thorough and len(items) <= DECODE_AT_MOST else items[:TRIED_DEMONSTRATIONS]
    longest, faults = 0, []
    for number, item in enumerate(tried):
        report("playing demonstrations", number + 1, len(tried))
        try:
            rollout = imitated(builder, [builder.build(item.sample)], interaction, [item])[0]
            longest = max(longest, len(rollout.prompt.token_ids) + len(rollout.token_ids))
        except MedrlError as error:
            faults.append(str(error))
    problems += faults[:5] + ([f"… and {len(faults) - 5} more such demonstrations."] if len(faults) > 5 else [])
    if problems:
        raise MedrlError("\n".join(problems))
    return SftPlan(recipe, items, builder, interaction, digest, notes, longest)
