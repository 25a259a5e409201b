"""The local engine: reads each prompt once for all its attempts, then decodes all rows together and drops finished ones.

Every rollout draws from its own random stream, so its tokens do not depend on which others share the batch. Requests
that wait at one moment (all attempts of all prompts of a step) are answered in one batch.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medrl.dialogue.tokens import Prompt
from medrl.learning.policy import Policy
from medrl.rollout.types import Generation, Sampling

DROP_BELOW = 0.8  # share of rows still running at which the finished ones are dropped


@dataclass
class _Request:
    prompt: Prompt
    token_ids: tuple[int, ...]
    sampling: Sampling
    answer: asyncio.Future[Generation]


class LocalEngine:
    """rollout's Engine over a Policy in this process. `rows_at_once` bounds the rows decoded together."""

    def __init__(self, policy: Policy, rows_at_once: int = 512) -> None:
        self.policy = policy
        self.rows_at_once = rows_at_once
        self._waiting: list[_Request] = []

    async def generate(self, prompt: Prompt, token_ids: Sequence[int], sampling: Sampling) -> Generation:
        loop = asyncio.get_running_loop()
        request = _Request(prompt, tuple(token_ids), sampling, loop.create_future())
        if not self._waiting:
            # runs after every episode that is ready now has asked, so one batch holds them all
            loop.call_soon(self._answer_waiting)
        self._waiting.append(request)
        return await request.answer

    def _answer_waiting(self) -> None:
        requests, self._waiting = self._waiting, []
        for start in range(0, len(requests), self.rows_at_once):
            batch = requests[start : start + self.rows_at_once]
            try:
                for request, generation in zip(batch, generate(self.policy, batch)):
                    request.answer.set_result(generation)
            except Exception as error:  # handed to whoever awaits, not lost in the event loop
                for request in requests[start:]:
                    if not request.answer.done():
                        request.answer.set_exception(error)
                return


@torch.no_grad()
def generate(policy: Policy, requests: Sequence[_Request]) -> list[Generation]:
    """Answer requests in one batch, in their order. Rows of one prompt share its reading."""
    policy.model.eval()
    unique = list({id(request.prompt): request.prompt for request in requests}.values())
    place = {id(prompt): row for row, prompt in enumerate(unique)}
    rows = torch.tensor([place[id(request.prompt)] for request in requests], device=policy.device)
    reading = policy.select(policy.read(unique), rows)
    # what an episode has said so far, left-padded; zero columns wide when every row starts at its prompt
    spoken, said = policy.pad([request.token_ids for request in requests], left=True)
    hidden = reading.last_hidden
    if said.any():
        after = policy.follow(reading, spoken, said)[:, -1]
        hidden = torch.where(said.any(1, keepdim=True), after, hidden)

    limit = max(request.sampling.max_new_tokens for request in requests)
    draws = torch.stack([_stream(request.sampling, limit) for request in requests]).to(policy.device)  # (rows, limit)
    temperatures = torch.tensor([[request.sampling.temperature] for request in requests], device=policy.device)
    stop_ids = _stop_table(policy, requests)  # (rows, stops)
    limits = torch.tensor([request.sampling.max_new_tokens for request in requests], device=policy.device)
    alive = torch.arange(len(requests), device=policy.device)
    tokens = torch.full((len(requests), limit), policy.pad_id, device=policy.device)
    logprobs = torch.zeros(len(requests), limit, device=policy.device)
    lengths = limits.clone()
    stopped = torch.zeros(len(requests), dtype=torch.bool, device=policy.device)
    running = torch.ones(len(requests), dtype=torch.bool, device=policy.device)  # of the rows in `alive`

    for step in range(limit):
        chosen, chosen_logprobs = _draw(policy, hidden, temperatures[alive], draws[alive, step])
        tokens[alive, step] = chosen
        logprobs[alive, step] = chosen_logprobs
        at_stop = running & ((chosen[:, None] == stop_ids[alive]).any(1) | _text_ended(requests, alive, tokens, step))
        stopped[alive[at_stop]] = True
        lengths[alive[at_stop]] = step + 1
        running = running & ~at_stop & (limits[alive] > step + 1)
        if not running.any():
            break
        # dropping rows copies the whole cache, so it waits until enough of them are finished
        if running.sum() < DROP_BELOW * len(alive):
            reading = policy.select(reading, running.nonzero()[:, 0])
            said = said[running]
            alive, chosen, running = alive[running], chosen[running], running[running]
        said = torch.cat([said, said.new_ones(len(alive), 1)], dim=1)
        hidden = policy.follow(reading, chosen[:, None], said, start=said.shape[1] - 1)[:, -1]

    answers = []
    for row, length in enumerate(lengths.tolist()):
        answers.append(
            Generation(
                token_ids=tokens[row, :length].tolist(),
                logprobs=logprobs[row, :length].tolist(),
                stop="eos" if stopped[row] else "length",
            )
        )
    return answers


def _stop_table(policy: Policy, requests: Sequence[_Request]) -> Tensor:
    """The tokens that end each row, filled up with one that ends every row."""
    rows = [sorted(policy.stop_ids | set(request.sampling.stop_ids)) for request in requests]
    width = max(map(len, rows))
    return torch.tensor([row + row[:1] * (width - len(row)) for row in rows], device=policy.device)


def _text_ended(requests: Sequence[_Request], alive: Tensor, tokens: Tensor, step: int) -> Tensor:
    """(rows alive,) whether the token of this step completes the text that ends a row's reply."""
    ends = [requests[row].sampling.end for row in alive.tolist()]
    longest = max((len(end.text) for end in ends if end), default=0)
    if not longest:
        return torch.zeros(len(alive), dtype=torch.bool, device=tokens.device)
    said = tokens[alive, max(0, step + 1 - longest) : step + 1].tolist()
    return torch.tensor([end is not None and end.ends(row) for end, row in zip(ends, said)], device=tokens.device)


def _draw(policy: Policy, hidden: Tensor, temperature: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """One token per row by inverting the cumulative distribution at `uniform`; the most probable where temperature is 0.

    Returns ids (rows,) and their log-probabilities at the sampling temperature (at 1 for greedy rows).
    """
    greedy = temperature[:, 0] == 0
    logits = policy.logits(hidden, 1.0) / torch.where(temperature == 0, 1.0, temperature)
    logprobs = logits.log_softmax(-1)
    cumulative = logprobs.exp().cumsum(-1, dtype=torch.float64)
    drawn = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True)[:, 0]
    chosen = torch.where(greedy, logits.argmax(-1), drawn.clamp(max=logits.shape[-1] - 1))
    return chosen, logprobs.gather(-1, chosen[:, None])[:, 0]


def _stream(sampling: Sampling, length: int) -> Tensor:
    """The rollout's own uniform draws in [0, 1), float64."""
    return torch.rand(length, generator=torch.Generator().manual_seed(sampling.seed), dtype=torch.float64)
