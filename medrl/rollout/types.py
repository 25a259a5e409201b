"""What a rollout is made of, and the one method an engine must offer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from medrl.dialogue.tokens import Prompt

EndReason = Literal["eos", "length"]


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. `temperature` 0 takes the most probable token; `seed` fixes the rollout's own random stream."""

    temperature: float = 1.0
    max_new_tokens: int = 256
    seed: int = 0


@dataclass(frozen=True)
class Generation:
    """What an engine returns: the new token ids (the end token included), their log-probabilities, why it stopped."""

    token_ids: list[int]
    logprobs: list[float]
    stop: EndReason


@dataclass
class Rollout:
    """One attempt at one prompt.

    `token_ids`, `mask` and `logprobs` cover the response only and are equally long; `mask` is 1 on the model's own
    tokens, 0 on tokens an environment put there. Tokens come from the engine and are never made again from text.
    """

    prompt: Prompt
    attempt: int
    token_ids: list[int]
    mask: list[int]
    logprobs: list[float]
    text: str
    end_reason: EndReason
    scores: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    reward: float | None = None
    advantage: float | None = None


class Engine(Protocol):
    """Token in, token out. An engine may batch the requests it holds at one time; equal prompts are meant to share work."""

    async def generate(self, prompt: Prompt, token_ids: Sequence[int], sampling: Sampling) -> Generation:
        """Continue `prompt` followed by `token_ids` (what the episode has added so far)."""
        ...
