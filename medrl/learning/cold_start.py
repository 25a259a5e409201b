"""The supervised cold start: imitate demonstrations until the format is known and the answer sometimes right.

It uses the same prompts, token builder and log-probabilities as GRPO, so nothing shifts between the two.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from medrl.data.sample import Sample
from medrl.dialogue.tokens import PromptBuilder
from medrl.learning.batches import batch_indices
from medrl.learning.demonstrations import imitated
from medrl.learning.policy import Policy
from medrl.learning.update import learning_rate, make_optimizer, set_learning_rate
from medrl.recipe import Optimizer, Sft
from medrl.rollout.interaction import Interaction
from medrl.rollout.seeds import derive_seed


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
    schedule = schedule_of(settings)
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


def schedule_of(settings: Sft) -> Optimizer:
    """The cold start's optimizer, here and in `medrl sft`: its rate falls as a cosine after the warm-up."""
    return Optimizer(
        lr=settings.lr, weight_decay=settings.weight_decay, warmup_steps=settings.warmup_steps, schedule="cosine"
    )
