"""One episode: a prompt goes to the engine, what comes back becomes a Rollout. With an environment it goes on:
an action in the reply is done, what the environment shows is appended with mask 0, and the model is asked again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from medrl.dialogue.actions import Asked
from medrl.dialogue.tokens import Patches, Prompt, PromptBuilder
from medrl.rollout.env import Action, ActionError, Env, Observation, Scene, tool_names
from medrl.rollout.interaction import Interaction
from medrl.rollout.refused import refuse
from medrl.rollout.seeds import derive_seed
from medrl.rollout.types import EndReason, Engine, Fault, Generation, Rollout, Sampling, Turn


async def run_episode(
    engine: Engine,
    builder: PromptBuilder,
    prompt: Prompt,
    attempt: int,
    sampling: Sampling,
    interaction: Interaction | None = None,
) -> Rollout:
    """One attempt: the model's own tokens have mask 1, an environment's 0. `sampling.max_new_tokens` bounds both together.

    One that may not train, for its tokens, comes back with the reason in `missing`.
    """
    if interaction is None:
        generation = await engine.generate(prompt, (), sampling)
        response = _Response()
        end: EndReason = "forbidden_token" if response.say(generation, builder) else generation.stop
        rollout = response.rollout(prompt, attempt, builder.decode(generation.token_ids), end)
    else:
        rollout, response = await _play(engine, builder, prompt, attempt, sampling, interaction)
    refuse(rollout, builder, response.forbidden)
    return rollout


async def _play(
    engine: Engine,
    builder: PromptBuilder,
    prompt: Prompt,
    attempt: int,
    sampling: Sampling,
    interaction: Interaction,
) -> tuple[Rollout, "_Response"]:
    """The turns of an episode with an environment."""
    env, scene = interaction.begin(builder, prompt.sample)
    sampling = interaction.stopping(builder, sampling)
    response = _Response()
    turns: list[Turn] = []
    while True:
        left = sampling.max_new_tokens - len(response.token_ids)
        seed = derive_seed(sampling.seed, "turn", len(turns)) if turns else sampling.seed
        context = prompt.continued(response.token_ids, response.added) if turns else prompt
        generation = await engine.generate(context, (), replace(sampling, max_new_tokens=left, seed=seed))
        start = len(response.token_ids)
        forbidden = response.say(generation, builder)
        text = builder.decode(generation.token_ids)
        asked = interaction.protocol.read(text)
        end: EndReason | None = None
        if forbidden:
            end, asked = "forbidden_token", None  # nothing is done for it
        elif generation.stop == "length":
            end = "length"
        elif asked is None:
            end = "eos"
        elif len(turns) + 1 >= interaction.max_turns:
            end = "turns"
        if end:
            turns.append(Turn(text, tokens=(len(generation.token_ids), 0)))
            break
        assert asked is not None
        given = {"name": asked.name, "arguments": asked.arguments}
        observation, fault = _act(env, interaction, asked.fault or None, Action(asked.name, asked.arguments or {}))
        ids = builder.between_turns(
            generation.token_ids, interaction.wrapped(observation.text), [image.size for image in observation.images]
        )
        if len(scene.shown) + len(observation.images) > interaction.max_images:
            end = "images"
        elif len(response.token_ids) + len(ids) >= sampling.max_new_tokens:
            end = "length"
        if end:  # what was not shown was not done
            turns.append(Turn(text, given, tokens=(len(generation.token_ids), 0)))
            break
        patches = builder.patches(observation.images, prompt.sample.id) if observation.images else None
        response.hear(ids, patches)
        _show(scene, observation)
        spoken = len(generation.token_ids), len(response.token_ids) - start - len(generation.token_ids)
        confirmed = None if fault is not None else observation.confirmed
        kind = _fault_class(interaction, asked) if fault is not None else None
        turns.append(Turn(text, given, confirmed, fault, observation.text, len(observation.images), spoken, kind))
        if observation.done:
            end = "done"
            break
    made = response.rollout(prompt, attempt, interaction.protocol.answer(turns[-1].text), end)
    made.turns = turns
    return made, response


def run_group_episodes(
    engine: Engine,
    builder: PromptBuilder,
    prompts: Sequence[Prompt],
    attempts: int,
    sampling: Sampling,
    *place: str | int,
    interaction: Interaction | None = None,
) -> list[Rollout]:
    """`attempts` rollouts of each prompt, group after group. Each has its own stream, named by `place`, sample and attempt."""

    async def everything() -> list[Rollout]:
        return await asyncio.gather(
            *(
                run_episode(
                    engine,
                    builder,
                    prompt,
                    attempt,
                    replace(sampling, seed=derive_seed(sampling.seed, *place, prompt.sample.id, attempt)),
                    interaction,
                )
                for prompt in prompts
                for attempt in range(attempts)
            )
        )

    return asyncio.run(everything())


@dataclass
class _Response:
    """What has been said and shown since the prompt."""

    token_ids: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    added: Patches | None = None
    forbidden: str | None = None  # what the model said and may not say; nothing is said after it

    def say(self, generation: Generation, builder: PromptBuilder) -> str | None:
        """The model's tokens, as they are; returns the first that may not be among them."""
        self.token_ids += generation.token_ids
        self.mask += [1] * len(generation.token_ids)
        self.logprobs += generation.logprobs
        self.forbidden = builder.forbidden_in(generation.token_ids, generation.stop == "eos")
        return self.forbidden

    def hear(self, token_ids: Sequence[int], patches: Patches | None) -> None:
        """An environment's tokens, and its pictures if their tokens were kept."""
        self.token_ids += token_ids
        self.mask += [0] * len(token_ids)
        self.logprobs += [0.0] * len(token_ids)
        if patches is not None:
            self.added = self.added.followed_by(patches) if self.added else patches

    def rollout(self, prompt: Prompt, attempt: int, text: str, end: EndReason) -> Rollout:
        return Rollout(
            prompt, attempt, self.token_ids, self.mask, self.logprobs, text=text, end_reason=end, added=self.added
        )


def _act(env: Env, interaction: Interaction, fault: str | None, action: Action) -> tuple[Observation, str | None]:
    """The environment's answer and what was wrong with the action, if anything; a fault is an observation too."""
    try:
        if fault:
            raise ActionError(fault)
        known = tool_names(interaction.tools)
        if action.name not in known:
            raise ActionError(f"there is no tool {action.name[:40]!r}; the tools are {', '.join(known)}")
        return env.step(action), None
    except ActionError as error:
        return Observation(f"Error: {error}"), str(error)


def _fault_class(interaction: Interaction, asked: Asked) -> Fault:
    """Of an action that was not done."""
    if asked.fault:
        return "unreadable"
    return "refused" if asked.name in tool_names(interaction.tools) else "unknown_tool"


def _show(scene: Scene, observation: Observation) -> None:
    """Pictures the model may name from now on."""
    for image in observation.images:
        of_it = (one.box_px_original for one in scene.shown if one.source == observation.source)
        whole = next(of_it, (0.0, 0.0, float(image.width), float(image.height)))  # what was first shown of it
        scene.show(image, observation.source, observation.shows_px_original or whole, observation.view)
