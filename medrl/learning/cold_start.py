"""The supervised cold start: imitate demonstrations until the format is known and the answer sometimes right.

It uses the same prompts, token builder and log-probabilities as GRPO, so nothing shifts between the two.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from medrl.data.sample import Sample
from medrl.dialogue.tokens import Prompt, PromptBuilder
from medrl.errors import MedrlError
from medrl.learning.batches import batch_indices
from medrl.learning.policy import Policy
from medrl.learning.update import learning_rate, make_optimizer, set_learning_rate
from medrl.recipe import Optimizer, Sft
from medrl.rollout.episode import run_episode
from medrl.rollout.interaction import Interaction
from medrl.rollout.seeds import derive_seed
from medrl.rollout.types import Generation, Rollout, Sampling

LONGEST = 1_000_000  # tokens of a demonstration: never cut


def cold_start(
    policy: Policy,
    builder: PromptBuilder,
    samples: Sequence[Sample],
    settings: Sft,
    seed: int,
    log: Callable[[dict[str, Any]], None],
    share_prompts: bool = True,
    interaction: Interaction | None = None,
) -> None:
    """Train on the samples' demonstrations for `settings.steps` batches; `log` gets one entry a step."""
    schedule = Optimizer(
        lr=settings.lr, weight_decay=settings.weight_decay, warmup_steps=settings.warmup_steps, schedule="cosine"
    )
    optimizer = make_optimizer(policy, schedule)
    policy.model.train()
    for step in range(settings.steps):
        started = time.perf_counter()
        torch.manual_seed(derive_seed(seed, "sft", step))  # dropout
        chosen = batch_indices(len(samples), step, settings.batch_size, derive_seed(seed, "sft"))
        prompts = [builder.build(samples[index]) for index in chosen]
        rate = learning_rate(schedule, step, settings.steps)
        set_learning_rate(optimizer, rate)
        shown = imitated(builder, prompts, interaction)
        logprobs, own, _ = policy.token_logprobs(
            [rollout.whole_prompt for rollout in shown],
            [rollout.token_ids for rollout in shown],
            temperature=1.0,
            masks=[rollout.mask for rollout in shown],
            share_prompts=share_prompts,
        )
        loss = -logprobs.sum() / own.sum()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([p for p in policy.model.parameters() if p.requires_grad], 1.0)
        optimizer.step()
        optimizer.zero_grad()
        log(
            {
                "stage": "sft",
                "step": step + 1,
                "sft/loss": loss.item(),
                "optimizer/lr": rate,
                "optimizer/grad_norm": norm.item(),
                "time/step_s": time.perf_counter() - started,
            }
        )


def imitated(
    builder: PromptBuilder, prompts: Sequence[Prompt], interaction: Interaction | None = None
) -> list[Rollout]:
    """Demonstrations as the rollouts they would have been, an environment's answers included: same tokens, same mask.

    MedrlError for a sample without a demonstration, or with one whose actions the environment refuses.
    """

    async def everything() -> list[Rollout]:
        return [await _imitated(builder, prompt, interaction) for prompt in prompts]

    return asyncio.run(everything())  # once a batch: asyncio writes out every tensor of a task's result when it begins


async def _imitated(builder: PromptBuilder, prompt: Prompt, interaction: Interaction | None) -> Rollout:
    replies = builder.demonstration(prompt)
    if not replies:
        raise MedrlError(
            f"{prompt.sample.id}: no demonstration (extra_info.demonstration), but sft.steps asks for a cold start. "
            "Use data that has them, or sft.steps=0."
        )
    script = Script(builder, replies)
    rollout = await run_episode(script, builder, prompt, 0, Sampling(max_new_tokens=LONGEST), interaction)
    if script.left:
        raise MedrlError(
            f"{prompt.sample.id}: the demonstration has {len(replies)} turns, but the episode ended "
            f"({rollout.end_reason}) after {len(replies) - len(script.left)}. Mend it, or raise env.max_turns."
        )
    if rollout.missing:
        raise MedrlError(
            f"{prompt.sample.id}: the demonstration cannot be imitated: {', '.join(rollout.missing.values())}."
        )
    if faults := [turn.fault for turn in rollout.turns if turn.fault]:
        raise MedrlError(f"{prompt.sample.id}: the environment refuses an action of the demonstration: {faults[0]}.")
    return rollout


class Script:
    """An engine that says what it was given, reply after reply."""

    def __init__(self, builder: PromptBuilder, replies: Sequence[str]) -> None:
        self.builder, self.left = builder, list(replies)

    async def generate(self, prompt: Prompt, token_ids: Sequence[int], sampling: Sampling) -> Generation:
        ids = self.builder.encode_reply(self.left.pop(0))
        said = ids[:-1]
        if said and (said[-1] in sampling.stop_ids or (sampling.end and sampling.end.ends(said))):
            ids = said  # generation would have stopped there
        return Generation(ids, [0.0] * len(ids), "eos")
