"""One episode: a prompt goes to the engine, what comes back becomes a Rollout."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from medrl.dialogue.tokens import Prompt, PromptBuilder
from medrl.rollout.seeds import derive_seed
from medrl.rollout.types import Engine, Rollout, Sampling


async def run_episode(
    engine: Engine, builder: PromptBuilder, prompt: Prompt, attempt: int, sampling: Sampling
) -> Rollout:
    """One attempt: the model's own tokens have mask 1."""
    generation = await engine.generate(prompt, (), sampling)
    return Rollout(
        prompt=prompt,
        attempt=attempt,
        token_ids=generation.token_ids,
        mask=[1] * len(generation.token_ids),
        logprobs=generation.logprobs,
        text=builder.decode(generation.token_ids),
        end_reason=generation.stop,
    )


def run_group_episodes(
    engine: Engine,
    builder: PromptBuilder,
    prompts: Sequence[Prompt],
    attempts: int,
    sampling: Sampling,
    *place: str | int,
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
                )
                for prompt in prompts
                for attempt in range(attempts)
            )
        )

    return asyncio.run(everything())
