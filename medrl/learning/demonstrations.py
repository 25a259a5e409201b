"""Demonstrations as the rollouts they would have been: the one place that turns them into ids, mask and pictures.

Replies are played through the recipe's environment, so that every token between them is the one a rollout has. What a
file says the environment answered is compared with what it does answer; where the recipe names no environment, it is
taken as it stands.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import ImageChops, ImageStat
from PIL.Image import Image

from medrl.data.sample import Sample
from medrl.dialogue.tokens import Patches, Prompt, PromptBuilder
from medrl.errors import MedrlError
from medrl.recipe import Env as EnvRecipe
from medrl.rollout.episode import run_episode
from medrl.rollout.interaction import Interaction
from medrl.rollout.types import Generation, Rollout, Sampling, Turn
from medrl.vision.open import open_image

LONGEST = 1_000_000  # tokens of a demonstration: never cut
GREY_LEVELS = 4.0  # mean difference of 255 between a recorded picture and the environment's: what JPEG changes


@dataclass(frozen=True, eq=False)
class Demonstrated:
    """A sample to imitate. `said`: the token ids of each reply as a model once sampled them, and `whole` the response they
    were part of; None where the sample's own demonstration is text."""

    sample: Sample
    said: tuple[list[int], ...] | None = None
    whole: list[int] | None = None


def as_recorded(given: EnvRecipe) -> Interaction:
    """How turns are written where no environment answers, but the data say what was answered."""
    return Interaction(_no_env, (), given.action_format, given.max_turns, given.max_images)


def imitated(
    builder: PromptBuilder,
    prompts: Sequence[Prompt],
    interaction: Interaction | None = None,
    given: Sequence[Demonstrated] | None = None,
) -> list[Rollout]:
    """One rollout per prompt, an environment's answers included: same tokens, same mask, same pictures.

    `given` says what was said, if not the sample's demonstration. MedrlError for a sample without a demonstration, with
    one whose actions the environment refuses, or with other answers than the environment gives.
    """
    items = given or [Demonstrated(prompt.sample) for prompt in prompts]

    async def everything() -> list[Rollout]:
        return [await _imitated(builder, prompt, interaction, item) for prompt, item in zip(prompts, items)]

    return asyncio.run(everything())  # once a batch: asyncio writes out every tensor of a task's result when it begins


async def _imitated(
    builder: PromptBuilder, prompt: Prompt, interaction: Interaction | None, item: Demonstrated
) -> Rollout:
    replies: Sequence[str | list[int]] = item.said or builder.demonstration(prompt)
    observations = prompt.sample.observations
    if not replies:
        raise MedrlError(
            f"{prompt.sample.id}: no demonstration (extra_info.demonstration), but sft.steps asks for a cold start. "
            "Use data that has them, or sft.steps=0."
        )
    if smuggled := [token for token in builder.control_ids.values() for reply in replies if token in reply]:
        raise MedrlError(
            f"{prompt.sample.id}: the demonstration contains the model's control token {smuggled[0]!r}; it would be learnt as a "
            "command. Remove it from the data: turns are ended by medrl, and pictures are named `<image>`."
        )
    acting = interaction is not None and bool(interaction.tools)
    if observations and len(observations) != len(replies) - 1:
        raise MedrlError(
            f"{prompt.sample.id}: {len(observations)} observations for {len(replies)} replies; expected one between any two."
        )
    if observations and interaction and not acting:
        return _as_it_stands(builder, prompt, replies, interaction)
    playing = interaction if acting else None
    script = Script(builder, replies)
    rollout = await run_episode(script, builder, prompt, 0, Sampling(max_new_tokens=LONGEST), playing)
    if script.left:
        remedy = "raise env.max_turns" if acting else "name the environment it was made with (env.use)"
        raise MedrlError(
            f"{prompt.sample.id}: the demonstration has {len(replies)} turns, but the episode ended "
            f"({rollout.end_reason}) after {len(replies) - len(script.left)}. Mend it, or {remedy}."
        )
    if rollout.missing:
        raise MedrlError(
            f"{prompt.sample.id}: the demonstration cannot be imitated: {', '.join(rollout.missing.values())}."
        )
    if faults := [turn.fault for turn in rollout.turns if turn.fault]:
        raise MedrlError(f"{prompt.sample.id}: the environment refuses an action of the demonstration: {faults[0]}.")
    if observations and (difference := _difference(builder, rollout, observations)):
        raise MedrlError(
            f"{prompt.sample.id}: {difference}. The data were made with another environment or other settings of it (env.kwargs). "
            "Use those, or data.options.observations=false to learn from this environment's answers."
        )
    if item.whole is not None and rollout.token_ids != item.whole:
        raise MedrlError(
            f"{prompt.sample.id}: played again, the rollout has other tokens than were recorded "
            f"({len(rollout.token_ids)} against {len(item.whole)}). The environment, its settings or the model's tokenizer changed."
        )
    return rollout


class Script:
    """An engine that says what it was given, reply after reply: text, or the ids that were sampled."""

    def __init__(self, builder: PromptBuilder, replies: Sequence[str | list[int]]) -> None:
        self.builder, self.left = builder, list(replies)

    async def generate(self, prompt: Prompt, token_ids: Sequence[int], sampling: Sampling) -> Generation:
        ids = _ids(self.builder, self.left.pop(0), sampling)
        return Generation(ids, [0.0] * len(ids), "eos")


def _ids(builder: PromptBuilder, reply: str | list[int], sampling: Sampling) -> list[int]:
    if not isinstance(reply, str):
        return list(reply)
    ids = builder.encode_reply(reply)
    said = ids[:-1]
    if said and (said[-1] in sampling.stop_ids or (sampling.end and sampling.end.ends(said))):
        return said  # generation would have stopped there
    return ids


def _as_it_stands(
    builder: PromptBuilder, prompt: Prompt, replies: Sequence[str | list[int]], interaction: Interaction
) -> Rollout:
    """Replies with the recorded observations between them, laid out as an episode lays out an environment's."""
    sampling = interaction.stopping(builder, Sampling())
    token_ids: list[int] = []
    mask: list[int] = []
    turns: list[Turn] = []
    added: Patches | None = None
    for number, reply in enumerate(replies):
        said = _ids(builder, reply, sampling)
        seen: list[int] = []
        text, pictures = "", list[Image]()
        if number < len(replies) - 1:
            text, pictures = _recorded(builder, prompt.sample.observations[number])
            seen = builder.between_turns(said, interaction.wrapped(text), [picture.size for picture in pictures])
        token_ids += [*said, *seen]
        mask += [1] * len(said) + [0] * len(seen)
        if pictures:
            patches = builder.patches(pictures, prompt.sample.id)
            added = added.followed_by(patches) if added else patches
        said_text = builder.decode(said)
        turns.append(
            Turn(said_text, observation=text if seen else None, images=len(pictures), tokens=(len(said), len(seen)))
        )
    final = interaction.protocol.answer(turns[-1].text)
    return Rollout(prompt, 0, token_ids, mask, [0.0] * len(token_ids), final, "eos", turns, added)


def _recorded(builder: PromptBuilder, observation: dict[str, Any]) -> tuple[str, list[Image]]:
    return observation.get("text") or "", [open_image(image, builder.root) for image in observation.get("images") or ()]


def _difference(builder: PromptBuilder, rollout: Rollout, observations: Sequence[dict[str, Any]]) -> str | None:
    """In what the environment's answers are not those recorded, or None."""
    shown = iter(rollout.added.pictures if rollout.added else ())
    for number, (turn, observation) in enumerate(zip(rollout.turns, observations), start=1):
        text, wanted = _recorded(builder, observation)
        where = f"after reply {number} the environment answers"
        if (turn.observation or "").strip() != text.strip():
            return f"{where} {(turn.observation or '')[:60]!r}, recorded is {text[:60]!r}"
        pictures = [next(shown) for _ in range(turn.images)]
        sizes, recorded = [picture.size for picture in pictures], [picture.size for picture in wanted]
        if sizes != recorded:
            return f"{where} with pictures of {sizes} pixels, recorded are {recorded}"
        for one, other in zip(pictures, wanted):
            gap = ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean
            if max(gap) > GREY_LEVELS:
                return f"{where} with a picture that differs from the recorded one by {max(gap):.0f} of 255 grey levels"
    return None


def _no_env() -> Any:
    raise MedrlError("the recipe names no environment (env.use), so none can be started.")
