"""The model as GRPO needs it: read a prompt once, then follow it many times.

Generation and the update use the same two steps. `read` runs the prompts (pictures included) and keeps their attention
cache; `follow` runs response tokens on top of it. All attempts of a group hang on one copy of their prompt, so a
picture is encoded once per prompt and not once per attempt, in the update too: gradients flow through the shared cache.
The textbook way, each sequence whole, is `full`; it is what gradient checkpointing needs and what the tests compare with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache

from medrl.dialogue.tokens import Prompt

BUCKETS, ROWS_PER_BUCKET = 4, 16  # replies are run in at most so many groups of similar length, none smaller than that
TOKENS_TOGETHER = 512  # tokens whose log-probabilities over the whole vocabulary are held at once


@dataclass
class Reading:
    """Prompts that have been read. Left-padded to one length P.

    `cache`: keys and values; `mask`: (prompts, P) 1 on real tokens; `next_position`: (prompts,) rotary position of the
    first response token; `last_hidden`: (prompts, hidden) state that predicts it.
    """

    cache: DynamicCache
    mask: Tensor
    next_position: Tensor
    last_hidden: Tensor


class Policy:
    """A vision-language model of the Qwen-VL or InternVL families with its read and follow steps.

    `forbidden_ids` are never sampled and carry no probability in training either (TRL#3847: an image token in a reply
    breaks the next forward pass); `stop_ids` end a reply. With `compute_dtype` bfloat16 the matrix products run in it, while
    trained weights stay float32: an update of 1e-6 is lost in a bfloat16 weight.
    """

    def __init__(
        self,
        model: Any,
        *,
        forbidden_ids: Sequence[int],
        stop_ids: Sequence[int],
        pad_id: int,
        compute_dtype: torch.dtype = torch.float32,
    ) -> None:
        self.model = model
        self.compute_dtype = compute_dtype
        self.forbidden_ids = torch.tensor(sorted(set(forbidden_ids)), dtype=torch.long)
        self.stop_ids = frozenset(stop_ids)
        self.pad_id = pad_id
        # Qwen-VL turns by time, height and width of a picture's patches, InternVL by the place in the text alone
        self.turns_by_grid = hasattr(self.core.model, "get_rope_index")

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def core(self) -> Any:
        """The transformers model under any LoRA wrapper."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    def read(self, prompts: Sequence[Prompt]) -> Reading:
        """Run each prompt once."""
        ids, mask = self.pad([prompt.token_ids for prompt in prompts], left=True)
        cache = DynamicCache(config=self.core.config)
        positions = self.positions(ids, mask, prompts)
        hidden = self._run(ids, mask, positions, prompts, cache)
        return Reading(cache, mask, positions.amax(dim=(0, 2)) + 1, hidden[:, -1])

    def select(self, reading: Reading, rows: Tensor) -> Reading:
        """A reading with prompt `rows[i]` in place i; rows may repeat. Gradients flow back to the one original."""
        cache = DynamicCache()
        for index, layer in enumerate(reading.cache.layers):
            cache.update(layer.keys[rows], layer.values[rows], index)
        return Reading(cache, reading.mask[rows], reading.next_position[rows], reading.last_hidden[rows])

    def follow(self, reading: Reading, ids: Tensor, mask: Tensor, start: int = 0) -> Tensor:
        """Hidden states (rows, T, hidden) of response tokens `ids` (rows, T) on top of a reading; extends its cache.

        `mask`: (rows, start + T) 1 on real response tokens, `start` counting the columns already in the cache. Positions
        count real tokens only, so padding may stand on either side.
        """
        steps = (mask.cumsum(1) - 1).clamp(min=0)[:, start:]
        positions = (reading.next_position[:, None] + steps).expand(3, -1, -1)  # text: all three axes alike
        attention = torch.cat([reading.mask, mask], dim=1)
        return self._backbone(ids, attention, positions, reading.cache)

    def full(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[int]]) -> Tensor:
        """Hidden states that predict each response token, (rows, T, hidden), each sequence run whole and unshared."""
        sequences = [[*prompt.token_ids, *response] for prompt, response in zip(prompts, responses)]
        ids, mask = self.pad(sequences, left=False)
        hidden = self._run(ids, mask, self.positions(ids, mask, prompts), prompts, None)
        longest = max(len(response) for response in responses)
        starts = torch.tensor([len(prompt.token_ids) - 1 for prompt in prompts], device=self.device)
        columns = (starts[:, None] + torch.arange(longest, device=self.device)).clamp(max=hidden.shape[1] - 1)
        return hidden.gather(1, columns[:, :, None].expand(-1, -1, hidden.shape[2]))

    def hidden_of_responses(
        self, prompts: Sequence[Prompt], responses: Sequence[Sequence[int]], share_prompts: bool
    ) -> Tensor:
        """(rows, T, hidden): position t predicts response token t. Equal prompt objects are read once when shared;
        a response with pictures of its own is run whole."""
        whole = [row for row, prompt in enumerate(prompts) if prompt.added_pictures or not share_prompts]
        shared = sorted(set(range(len(prompts))) - set(whole))
        longest = max(len(response) for response in responses)
        parts = []
        for rows, run in ((whole, self.full), (shared, self._sharing)):
            if rows:
                states = run([prompts[row] for row in rows], [responses[row] for row in rows])
                parts.append(nn.functional.pad(states, (0, 0, 0, longest - states.shape[1])))
        return torch.cat(parts)[torch.tensor([*whole, *shared], device=self.device).argsort()]

    def _sharing(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[int]]) -> Tensor:
        """What `full` gives, with each distinct prompt read once."""
        distinct: dict[int, int] = {}
        rows = torch.tensor([distinct.setdefault(id(prompt), len(distinct)) for prompt in prompts], device=self.device)
        unique = list({id(prompt): prompt for prompt in prompts}.values())
        reading = self.read(unique)
        longest = max(len(response) for response in responses)
        # replies of similar length run together: one long reply must not pad all others to its length
        order = sorted(range(len(responses)), key=lambda row: len(responses[row]))
        size = max(ROWS_PER_BUCKET, -(-len(order) // BUCKETS))
        parts = []
        for start in range(0, len(order), size):
            bucket = order[start : start + size]
            states = self._follow_whole(self.select(reading, rows[bucket]), [responses[row] for row in bucket])
            parts.append(nn.functional.pad(states, (0, 0, 0, longest - states.shape[1])))
        return torch.cat(parts)[torch.tensor(order, device=self.device).argsort()]

    def _follow_whole(self, reading: Reading, responses: Sequence[Sequence[int]]) -> Tensor:
        """States that predict each token of complete responses, (rows, T, hidden)."""
        ids, mask = self.pad(responses, left=False)
        first = reading.last_hidden[:, None]
        if ids.shape[1] == 1:
            return first
        # the last response token predicts nothing that is trained on, so it is not run
        return torch.cat([first, self.follow(reading, ids[:, :-1], mask[:, :-1])], dim=1)

    def logits(self, hidden: Tensor, temperature: float) -> Tensor:
        """float32 logits over the vocabulary at a temperature, forbidden tokens at -inf."""
        with self._precision():
            logits = self.core.lm_head(hidden)
        logits = logits.float()
        if temperature != 1:
            logits = logits / temperature
        return logits.index_fill_(-1, self.forbidden_ids.to(logits.device), float("-inf"))

    def token_logprobs(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[Sequence[int]],
        *,
        temperature: float,
        masks: Sequence[Sequence[int]] | None = None,
        share_prompts: bool = True,
        with_entropy: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """(log-probabilities, mask, entropies), each (rows, T); entropies in nats without gradient, on request.

        Rows are right-padded to the longest response. `masks`: 1 on the model's own tokens, all of them by default; an
        environment's tokens (among them some that a reply may not hold) and padding have log-probability 0 and mask 0.
        """
        ids, mask = self.pad(responses, left=False)
        if masks is not None:
            mask = mask * self.pad(masks, left=False)[0]
        keep = mask.bool()
        hidden = self.hidden_of_responses(prompts, responses, share_prompts)[keep]  # (tokens, hidden): no padding
        chosen: list[Tensor] = []
        entropies: list[Tensor] = []
        for states, tokens in zip(hidden.split(TOKENS_TOGETHER), ids[keep].split(TOKENS_TOGETHER)):
            # recomputed in the backward pass: all tokens by a vocabulary of 150,000 would not fit in a GPU's memory
            found = checkpoint(self._look_up, states, tokens, temperature, with_entropy, use_reentrant=False)
            chosen.append(found[0])
            entropies.append(found[1])
        logprobs = torch.cat(chosen)
        empty = torch.zeros_like(ids, dtype=logprobs.dtype)
        spread = empty.masked_scatter(keep, torch.cat(entropies)) if with_entropy else None
        return empty.masked_scatter(keep, logprobs), mask, spread

    def _look_up(self, hidden: Tensor, tokens: Tensor, temperature: float, with_entropy: bool) -> tuple[Tensor, Tensor]:
        return look_up(self.logits(hidden, temperature), tokens, with_entropy)

    def _run(
        self, ids: Tensor, mask: Tensor, positions: Tensor, prompts: Sequence[Prompt], cache: DynamicCache | None
    ) -> Tensor:
        """Run sequences that start with their prompts; every picture of every row is encoded, in row order."""
        with_pictures = [prompt for prompt in prompts if prompt.pixel_values is not None]
        pictures: dict[str, Tensor] = {}
        if with_pictures:
            # order matters: the k-th run of image tokens takes the k-th picture (R1-V PR#54: tiled instead, patients swapped)
            pictures["pixel_values"] = torch.cat([prompt.pixel_values for prompt in with_pictures]).to(self.device)
            if self.turns_by_grid:
                grids = [prompt.image_grid_thw for prompt in with_pictures]
                pictures["image_grid_thw"] = torch.cat(grids).to(self.device)
        with self._precision():
            states = self.core.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions if self.turns_by_grid else positions[0],
                past_key_values=cache,
                use_cache=cache is not None,
                **pictures,
            )
        return states.last_hidden_state

    def _backbone(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache) -> Tensor:
        with self._precision():
            states = self.core.model.language_model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions if self.turns_by_grid else positions[0],
                past_key_values=cache,
                use_cache=True,
            )
        return states.last_hidden_state

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.compute_dtype == torch.bfloat16)

    def positions(self, ids: Tensor, mask: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        """Rotary positions (3, rows, length), all three alike where pictures have none of their own; padding stands at 0."""
        if not self.turns_by_grid:
            return (mask.cumsum(1) - 1).clamp(min=0).expand(3, -1, -1)
        grids = [prompt.image_grid_thw for prompt in prompts if prompt.image_grid_thw is not None]
        kinds = (ids == self.core.config.image_token_id).int()
        positions, _ = self.core.model.get_rope_index(
            ids, kinds, image_grid_thw=torch.cat(grids).to(ids.device) if grids else None, attention_mask=mask
        )
        return positions

    def pad(self, sequences: Sequence[Sequence[int]], left: bool) -> tuple[Tensor, Tensor]:
        """(ids, mask), both (rows, longest), on the policy's device."""
        longest = max(len(sequence) for sequence in sequences)
        ids = torch.full((len(sequences), longest), self.pad_id, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            span = slice(longest - len(sequence), longest) if left else slice(0, len(sequence))
            ids[row, span] = torch.tensor(sequence, dtype=torch.long)
            mask[row, span] = 1
        return ids.to(self.device), mask.to(self.device)


def look_up(logits: Tensor, tokens: Tensor, with_entropy: bool) -> tuple[Tensor, Tensor]:
    """(log-probabilities of `tokens`, entropies in nats without gradient, or zeros), each (tokens,).

    `logits`: float32 (tokens, vocabulary), a token that may not be said at -inf or nearly. Shared by both engines.
    """
    table = logits.log_softmax(-1)
    logprobs = table.gather(-1, tokens[:, None])[:, 0]
    if not with_entropy:
        return logprobs, torch.zeros_like(logprobs)
    with torch.no_grad():  # a forbidden token has p log p = 0, not 0 * -inf
        return logprobs, -table.exp().mul_(table.clamp(min=-1e4)).sum(-1)
