"""Attack all rewards of a recipe together, on rows of its own data: their weighted sum is what training pays."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from medrl.commands.arguments import read_recipe
from medrl.data.sample import Sample
from medrl.errors import MedrlError
from medrl.recipe import Recipe, Reward
from medrl.scoring.compose import components
from medrl.scoring.trial.attack import Finding, attack_all
from medrl.scoring.trial.caged import Cage, Call, Outcome
from medrl.scoring.trial.examples import FORMS, Example, example_from


@dataclass(frozen=True)
class Part:
    """One reward of the recipe in its own process."""

    name: str
    reward: Reward
    cage: Cage

    def applies(self, kind: str) -> bool:
        return not self.reward.kinds or kind in self.reward.kinds

    def outcomes(self, calls: Sequence[Call]) -> list[Outcome]:
        """Of each call; a reward of one reply looks at the first of a group."""
        of_group = self.cage.facts.of_group
        return self.cage(call if of_group or isinstance(call, dict) else call[0] for call in calls)


def attack_recipe(file: str, overrides: list[str], rows: int) -> tuple[list[Finding], str]:
    """Findings over `rows` rows of every kind of the recipe's training data, and a sentence on what was tried.

    Boxes are taken in pixels of the pictures as they are. Kinds without an honest reply that can be phrased are left out.
    """
    settings, beside = read_recipe(Path(file), overrides)
    from medrl.preflight import load_split  # imports torch: not before the recipe is known to be sound

    data = load_split(settings, "train", beside)
    with ExitStack() as stack:
        parts = [
            Part(name, reward, stack.enter_context(Cage(reward.use, dict(reward.kwargs), beside, reward.timeout_s)))
            for name, reward in settings.rewards.items()
        ]
        if misfits := [f"rewards.{one.name}: {one.cage.facts.misfit}" for one in parts if one.cage.facts.misfit]:
            raise MedrlError(f"{file}: " + "\n".join(misfits))
        pictures = any(part.cage.facts.needs_images for part in parts)
        chosen, left_out = _chosen(settings, data.samples, rows, data.root, pictures)
        if not chosen:
            raise MedrlError(
                f"{file}: no row to attack with: no honest reply can be phrased for its kinds, {', '.join(left_out)}. "
                "Attack the reward files one by one; each may bring its EXAMPLE."
            )
        findings: list[Finding] = []
        for kind, examples in chosen.items():
            applying = [part for part in parts if part.applies(kind)]
            of_group = any(part.cage.facts.of_group for part in applying)
            findings += attack_all(partial(_summed, applying), examples, of_group)
    told = ", ".join(f"{len(examples)} of kind {kind}" for kind, examples in chosen.items())
    skipped = f"; left out: {', '.join(left_out)}" if left_out else ""
    return findings, f"{file}: rows of its training data: {told}{skipped}; the weighted sum of its rewards"


def _chosen(
    settings: Recipe, samples: Sequence[Sample], rows: int, root: Path, pictures: bool
) -> tuple[dict[str, list[Example]], list[str]]:
    """Per kind the first rows with different answers, and the kinds that cannot be tried."""
    form = FORMS[1] if settings.prompt.style == "no_think" else FORMS[0]
    chosen: dict[str, list[Example]] = {}
    seen: set[tuple[str, str]] = set()
    for sample in samples:
        kind = str(sample.kind)
        known = chosen.setdefault(kind, [])
        if len(known) < rows and (kind, sample.ground_truth) not in seen:
            seen.add((kind, sample.ground_truth))
            extra = _extra(sample, root, bool(settings.env.use), pictures)
            if (example := example_from(kind, sample.ground_truth, extra, form, sample.question)) is not None:
                known.append(example)
    left_out = [kind for kind, examples in chosen.items() if not examples]
    return {kind: examples for kind, examples in chosen.items() if examples}, left_out


def _extra(sample: Sample, root: Path, in_turns: bool, pictures: bool) -> dict[str, Any]:
    """The row's extra_info with what training adds to it: the picture's size, an episode without a confirmed action."""
    from medrl.vision.open import image_size, resolve_inside

    extra = {"question": sample.question, **sample.extra_info}
    sizes = [list(image_size(image, root)) for image in sample.images]
    if sizes:
        extra.setdefault("image_size", sizes[0])
    if pictures:
        extra["images"] = [
            {"path": str(resolve_inside(root, image["path"]))} if "path" in image else {"bytes": image["bytes"]}
            for image in sample.images
        ]
    if in_turns:
        extra["rollout"] = {
            "turns": [""], "asked": [False], "image_sizes": sizes, "actions": [], "refused": 0, "end_reason": "eos",
        }  # fmt: skip
    return extra


def _summed(parts: Sequence[Part], calls: Iterable[Call]) -> list[Outcome]:
    """The weighted sum with its gates, as training adds it up; an entry for each reward; missing where a part is."""
    given = list(calls)
    by_name = {part.name: part.outcomes(given) for part in parts}
    return [_sum(parts, {name: outcomes[place] for name, outcomes in by_name.items()}) for place in range(len(given))]


def _sum(parts: Sequence[Part], outcomes: dict[str, Outcome]) -> Outcome:
    for part in parts:
        if outcomes[part.name].score is None:
            return Outcome(None, 0.0, f"rewards.{part.name}: {outcomes[part.name].reason}")
    scores = {f"{name}/score": outcome.score or 0.0 for name, outcome in outcomes.items()}
    counted = components(scores, {part.name: part.reward for part in parts})
    entries = {part.name: part.reward.weight * counted[part.name] for part in parts}
    return Outcome({**entries, "score": sum(entries.values())})
