"""What a rollout is made of, and the one method an engine must offer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from medrl.dialogue.ends import TextEnd
from medrl.dialogue.tokens import Patches, Prompt

# eos: the model ended its reply; length: no tokens were left; turns, images: the recipe's limits; done: the environment;
# forbidden_token: the reply holds a control token, which no engine should give, and is not trained on
EndReason = Literal["eos", "length", "turns", "images", "done", "forbidden_token"]
# unreadable: not an action by the protocol; unknown_tool: one the environment does not have; refused: by the environment
Fault = Literal["unreadable", "unknown_tool", "refused"]


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. `temperature` 0 takes the most probable token; `seed` fixes the rollout's own random stream;
    `stop_ids` end a reply beside the model's own end tokens, and so does the text `end`."""

    temperature: float = 1.0
    max_new_tokens: int = 256
    seed: int = 0
    stop_ids: tuple[int, ...] = ()
    end: TextEnd | None = None


@dataclass(frozen=True)
class Generation:
    """What an engine returns: the new token ids (the end token included), their log-probabilities, why it stopped."""

    token_ids: list[int]
    logprobs: list[float]
    stop: Literal["eos", "length"]


@dataclass(frozen=True)
class Turn:
    """What the model said, what it asked for, and what came back.

    `asked`: name and arguments as written, None in a turn without an action. `confirmed`: what the environment did, None
    when it did nothing; `fault` is then what it told the model, and `fault_class` what kind of thing was wrong. `tokens`:
    of the reply and of the observation.
    """

    text: str
    asked: dict[str, Any] | None = None
    confirmed: dict[str, Any] | None = None
    fault: str | None = None
    observation: str | None = None
    images: int = 0
    tokens: tuple[int, int] = (0, 0)
    fault_class: Fault | None = None


@dataclass(frozen=True)
class Thumbnail:
    """A picture an environment showed, small enough to keep. `size_px`: width and height of the picture itself."""

    jpeg: bytes
    size_px: tuple[int, int]


@dataclass
class Rollout:
    """One attempt at one prompt.

    `token_ids`, `mask` and `logprobs` cover the response only and are equally long; `mask` is 1 on the model's own
    tokens, 0 on tokens an environment put there. Tokens come from the engine and are never made again from text.
    `text` is what rewards read: the last thing the model said. `added` holds the pictures an environment showed, in the
    order of their tokens; `turns` is empty where there is no environment. `thumbnails`: of `added`, where that is not at
    hand any more. `missing`: why there is no reward, by its name, or by `tokens` for a rollout that may not train.
    `turn_scores`: of rewards that give a value per turn. `score_seconds`: what the call of each reward took; a group's is
    with one of its rollouts. `entropy`: of the policy before the update, mean nats per token of the model's own, where somebody
    asked for it. `filtered`: its group was left out, all attempts being equally right. `advantage` is None for what is not
    trained on: without a score, masked, or filtered.
    """

    prompt: Prompt
    attempt: int
    token_ids: list[int]
    mask: list[int]
    logprobs: list[float]
    text: str
    end_reason: EndReason
    turns: list[Turn] = field(default_factory=list)
    added: Patches | None = None
    thumbnails: tuple[Thumbnail, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    turn_scores: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    score_seconds: dict[str, float] = field(default_factory=dict)
    reward: float | None = None
    entropy: float | None = None
    filtered: bool = False
    advantage: float | None = None

    @property
    def unfinished(self) -> bool:
        """Whether a limit of the recipe ended it, and neither the model nor the environment did."""
        return self.end_reason in ("length", "turns", "images")

    @property
    def whole_prompt(self) -> Prompt:
        """The prompt with the pictures of the whole episode: what `prompt.token_ids` + `token_ids` is run with."""
        return self.prompt.with_pictures(self.added) if self.added is not None else self.prompt


class Engine(Protocol):
    """Token in, token out. An engine may batch the requests it holds at one time; equal prompts are meant to share work."""

    async def generate(self, prompt: Prompt, token_ids: Sequence[int], sampling: Sampling) -> Generation:
        """Continue `prompt` followed by `token_ids` (what the episode has added so far)."""
        ...
