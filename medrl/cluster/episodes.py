"""Rollouts under verl: its agent-loop worker runs medrl's own episodes, with a vLLM server as their engine.

Prompts, sampling seeds, episodes and scores are those of engine `local`; what changes is who answers `generate`. A scored
Rollout travels back to the trainer beside the tensors verl trains on, so nothing has to be made again from text.
"""

import asyncio
import atexit
import math
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import ray
import torch
import transfer_queue as tq
from omegaconf import OmegaConf
from PIL.Image import Image
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ, AgentLoopWorkerTQ
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from medrl.cluster.parcel import packed
from medrl.data.sample import Sample
from medrl.dialogue.control import forbidden_ids
from medrl.dialogue.prompts import load_style
from medrl.dialogue.tokens import Prompt, PromptBuilder
from medrl.learning.model import stop_ids
from medrl.recipe import Recipe, recipe_from
from medrl.record.album import KEPT_PROMPTS
from medrl.rollout.episode import run_episode
from medrl.rollout.interaction import Interaction, load_interaction
from medrl.rollout.refused import TOKENS
from medrl.rollout.seeds import derive_seed
from medrl.rollout.types import Generation, Rollout, Sampling
from medrl.scoring.compose import weights_in_force
from medrl.scoring.loaded import LoadedReward, load_rewards
from medrl.scoring.returned import token_rewards
from medrl.scoring.rewards import score_each, score_group
from medrl.scoring.workers.service import Service, open_service
from medrl.vision.resize import family_of

HELD_PROMPTS = 512  # built prompts a worker keeps: all attempts of a group share one
BAD_SAMPLE = "MedrlError: "  # in a fault: the sample itself is of no use, its file gone for example
Row = tuple[int, Rollout, dict[str, Any], dict[str, Any]]  # an attempt, its fields and tag in TransferQueue
_Worker: Any = AgentLoopWorkerTQ.__ray_metadata__.modified_class  # the class under verl's @ray.remote


@dataclass
class Built:
    """A prompt, the pictures the server makes its own features from, and what the attempts of its group share."""

    prompt: Prompt
    pictures: list[Image]
    positions: torch.Tensor | None = None  # (kinds of position, prompt tokens), once they have been asked for


class ServerEngine:
    """rollout's Engine over verl's client of the vLLM servers, for one prompt."""

    def __init__(
        self, client: Any, pictures: list[Image], stops: Sequence[int], bias: dict[int, float], request: str
    ) -> None:
        self.client, self.pictures, self.stops, self.bias, self.request = (
            client,
            pictures,
            frozenset(stops),
            bias,
            request,
        )

    async def generate(self, prompt: Prompt, token_ids: Sequence[int], sampling: Sampling) -> Generation:
        greedy = sampling.temperature == 0
        stops = self.stops | set(sampling.stop_ids)
        parameters: dict[str, Any] = {
            # vLLM on a CPU forgets all seeds when one row of a batch is greedy; the best of one is the same token
            "temperature": 1.0 if greedy else sampling.temperature,
            "top_p": 1.0,
            "top_k": 1 if greedy else -1,
            "logprobs": True,
            "max_tokens": sampling.max_new_tokens,
            "seed": sampling.seed,
            "stop_token_ids": sorted(stops),
            "logit_bias": self.bias,
            "detokenize": False,  # tokens are all anyone reads
        }
        if end := sampling.end:
            parameters |= {"detokenize": True, "stop": [end.text], "include_stop_str_in_output": True}
        output = await self.client.generate(
            request_id=self.request,  # the turns of one episode go to one server and find their prefix cached
            prompt_ids=[*prompt.token_ids, *token_ids],
            sampling_params=parameters,
            image_data=[*self.pictures, *prompt.added_pictures] or None,
        )
        ids = list(output.token_ids)
        if not ids or output.stop_reason == "aborted":
            raise RuntimeError("the vLLM server gave up the request")
        kept = end.cut(ids) if end else len(ids)  # vLLM may have sampled on before it looked
        stopped = ids[kept - 1] in stops or (end is not None and end.ends(ids[:kept]))
        return Generation(ids[:kept], list(output.log_probs)[:kept], "eos" if stopped else "length")


class EpisodeWorker(_Worker):
    """verl's agent-loop worker with the episode replaced by ours."""

    def __init__(self, config: Any, *arguments: Any, **named: Any) -> None:
        super().__init__(config, *arguments, **named)
        self._built: dict[str, asyncio.Task[Built]] = {}
        self._finished: dict[str, list[Row]] = {}  # of the groups that are not complete yet
        self._faults: list[str] = []

    @cached_property
    def _recipe(self) -> Recipe:
        return recipe_from(
            cast(dict[Any, Any], OmegaConf.to_container(self.config.medrl.recipe)), "the trainer's recipe", "cluster"
        )

    @cached_property
    def _beside(self) -> Path:
        return Path(self.config.medrl.beside)

    @cached_property
    def _builder(self) -> PromptBuilder:
        return PromptBuilder(
            self.processor,
            family_of(self.hf_model_type or ""),
            load_style(self._recipe.prompt.style, self._beside, self._interaction.tools if self._interaction else ()),
            min_pixels=self._recipe.model.min_pixels,
            max_pixels=self._recipe.model.max_pixels,
            max_prompt_tokens=self._recipe.sampling.max_prompt_tokens,
            root=Path(self.config.medrl.root),
        )

    @cached_property
    def _interaction(self) -> Interaction | None:
        return load_interaction(self._recipe.env, self._beside)

    @cached_property
    def _rewards(self) -> list[LoadedReward]:
        return load_rewards(self._recipe.rewards, self._beside)

    @cached_property
    def _pool(self) -> Service | None:
        """This worker's share of the reward processes; they end with it, however it ends."""
        beside = math.ceil(self.config.actor_rollout_ref.rollout.agent.num_workers / self._recipe.engine.nodes)
        opened = open_service(self._recipe.scoring, self._rewards, beside)
        atexit.register(opened.__exit__, None, None, None)
        return opened.__enter__()

    @cached_property
    def _stops(self) -> list[int]:
        return stop_ids(self.model_config.generation_config, self.tokenizer)

    @cached_property
    def _bias(self) -> dict[int, float]:
        # the unused rows above the tokenizer are masked by verl's server itself
        return dict.fromkeys(forbidden_ids(self.tokenizer, self._stops, len(self.tokenizer)), -100.0)

    async def connect(self, client: Any) -> None:
        """Take the client of the servers, which were not there yet when this worker was started."""
        self.llm_client = client

    async def faults(self) -> list[str]:
        """What went wrong in episodes since the last call."""
        found, self._faults = self._faults, []
        return found

    async def _run_prompt(self, prompt: dict[str, Any], *arguments: Any, **named: Any) -> None:
        uid = prompt["uid"]
        await super()._run_prompt(prompt, *arguments, **named)
        self._finished.pop(uid, None)  # of a group with a failed attempt something is left, and verl has dropped it

    async def _run_agent_loop(
        self,
        sampling_params: dict[str, Any],
        trajectory: dict[str, Any],
        *,
        agent_name: str,
        trace: bool = True,
        **row: Any,
    ) -> None:
        sample, attempt = row.pop("sample"), row["session_id"]
        try:
            rollout, built = await self._rollout(sample, row["uid"], attempt, trajectory)
        except Exception as error:  # the boundary: verl only counts failed episodes, the trainer wants to know why
            place = traceback.extract_tb(error.__traceback__)[-1]
            cause = getattr(error, "cause", None) or error  # Ray wraps what was raised on the server, traceback and all
            what = " ".join(f"{type(cause).__name__}: {cause}".split())[:500]
            self._faults.append(f"{sample.id}: {what} ({Path(place.filename).name} line {place.lineno})")
            raise
        fields: dict[str, Any] = {}
        sent = rollout
        if TOKENS in rollout.missing:  # not one of its tokens may reach the model; its place in the batch is kept
            sent = replace(rollout, token_ids=self._stops[:1], mask=[0], logprobs=[0.0], added=None)
        tag = {"status": "success", "global_steps": row["global_steps"]}
        given = self.config.actor_rollout_ref.rollout
        attempts = given.val_kwargs.n + 1 if trajectory["validate"] else given.n
        if not trajectory["validate"]:  # nothing is trained on a validation rollout, so it needs no tensors
            fields |= {"uid": row["uid"], **self._tensors(sent, built)}
            lengths = {"prompt_len": len(built.prompt.token_ids), "response_len": len(sent.token_ids)}
            versions = dict.fromkeys(("min_global_steps", "max_global_steps"), trajectory["step"] - 1)
            tag |= {**lengths, "seq_len": sum(lengths.values()), **versions}
        finished = self._finished.setdefault(row["uid"], [])
        finished.append((attempt, rollout, fields, tag))
        if len(finished) == attempts:  # a message for every rollout costs more than the rollout on a small model
            # with a filter, which questions come first is decided later
            first = int(row["index"]) < KEPT_PROMPTS or self._recipe.algorithm.filter_groups
            shown = first and not trajectory["validate"]
            await self._send(row["uid"], finished, trajectory["validate"], shown)

    async def _send(self, uid: str, finished: list[Row], validating: bool, shown: bool) -> None:
        """Score a complete group as a group, and put it into TransferQueue. A validation's greedy attempt stands alone.

        `shown`: the run keeps its pictures.
        """
        rows = sorted(finished, key=lambda row: row[0])
        rollouts = [rollout for _, rollout, _, _ in rows]
        for group in (rollouts[:-1], rollouts[-1:]) if validating else (rollouts,):
            await score_group(group, self._rewards, self._pool)
        rules = {reward.name: reward for reward in self._rewards}
        for _, rollout, fields, _ in rows:
            fields["extra_fields"] = {"rollout": packed(rollout, shown)}
            if (
                not validating
            ):  # a missing one counts 0 here, on all tokens that are sent, and is left out by the trainer
                weights = weights_in_force(rollout.scores, rules) if rollout.reward is not None else {}
                fields["rm_scores"] = torch.tensor(token_rewards(rollout, weights)[: len(fields["responses"])])
        await tq.async_kv_batch_put(
            keys=[f"{uid}_{attempt}_0" for attempt, _, _, _ in rows],
            fields=list_of_dict_to_tensordict([fields for _, _, fields, _ in rows]),
            tags=[tag for _, _, _, tag in rows],
            partition_id="val" if validating else "train",
        )

    async def _rollout(
        self, sample: Sample, uid: str, attempt: int, trajectory: dict[str, Any]
    ) -> tuple[Rollout, Built]:
        """One episode, scored but for its group; the attempt after the last of a validation is the greedy one."""
        recipe = self._recipe
        place = ("val",) if trajectory["validate"] else ("grpo", trajectory["step"] - 1)
        greedy = trajectory["validate"] and attempt == recipe.val.attempts
        built = await self._prompt(uid, sample)
        sampling = Sampling(
            0.0 if greedy else recipe.sampling.temperature,
            recipe.sampling.max_new_tokens,
            derive_seed(recipe.seed, *place, sample.id, attempt),
        )
        engine = ServerEngine(self.llm_client, built.pictures, self._stops, self._bias, f"{uid}_{attempt}")
        interaction = self._interaction
        if interaction and trajectory["validate"]:
            interaction = interaction.in_validation()
        rollout = await run_episode(engine, self._builder, built.prompt, attempt, sampling, interaction)
        await score_each([rollout], self._rewards, self._pool)
        return rollout, built

    async def _prompt(self, uid: str, sample: Sample) -> Built:
        """Built once per group, aside from the event loop."""
        if uid not in self._built:
            while len(self._built) >= HELD_PROMPTS:
                self._built.pop(next(iter(self._built)))
            self._built[uid] = asyncio.ensure_future(
                asyncio.to_thread(lambda: Built(self._builder.build(sample), self._builder.pictures(sample)))
            )
        return await self._built[uid]

    def _tensors(self, rollout: Rollout, built: Built) -> dict[str, Any]:
        """What verl trains on: unpadded rows under verl's own field names."""
        prompt = built.prompt
        ids = torch.tensor([*prompt.token_ids, *rollout.token_ids])
        mask = torch.tensor(rollout.mask)
        if rollout.added is not None:
            whole = rollout.whole_prompt
            positions = self._positions(replace(whole, token_ids=tuple(ids.tolist())))
        else:
            built.positions = self._positions(prompt) if built.positions is None else built.positions
            positions, whole = continued(built.positions, len(mask)), prompt
        return {
            "prompts": ids[: len(prompt.token_ids)],
            "responses": ids[len(prompt.token_ids) :],
            "response_mask": mask,
            "loss_mask": mask,
            "input_ids": ids,
            "position_ids": positions,
            "rollout_log_probs": torch.tensor(rollout.logprobs),
            "multi_modal_inputs": _features(whole),  # verl would run the image processor again for every attempt
            "num_turns": 2 * max(1, len(rollout.turns)),
        }

    def _positions(self, prompt: Prompt) -> torch.Tensor:
        """Positions of a prompt's tokens as verl's model wants them: (4, tokens), text, then time, height and width."""
        ids, features = torch.tensor([prompt.token_ids]), _features(prompt)
        # the presence of mm_token_type_ids tells verl to mark the image tokens; it takes the key out again
        marked = {**features, "mm_token_type_ids": features["image_grid_thw"]} if features else {}
        return self._compute_position_ids(ids, torch.ones_like(ids), marked)[0]


def continued(positions: torch.Tensor, tokens: int) -> torch.Tensor:
    """(kinds, prompt tokens) -> (kinds, prompt tokens + tokens): text after text, which counts on by one in every kind."""
    return torch.cat([positions, positions[..., -1:] + torch.arange(1, tokens + 1)], dim=-1)


class EpisodeManager(AgentLoopManagerTQ):
    """verl's manager over our workers."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.agent_loop_workers_class = ray.remote(EpisodeWorker)

    def connect(self, client: Any) -> None:
        """Give every worker the client of the vLLM servers."""
        ray.get([worker.connect.remote(client) for worker in self.agent_loop_workers])

    def faults(self) -> list[str]:
        """What went wrong in episodes since the last call, over all workers."""
        return [
            fault
            for found in ray.get([worker.faults.remote() for worker in self.agent_loop_workers])
            for fault in found
        ]


def _features(prompt: Prompt) -> dict[str, torch.Tensor]:
    """The picture tensors of a prompt under verl's names."""
    if prompt.pixel_values is None or prompt.image_grid_thw is None:
        return {}
    grid = prompt.image_grid_thw
    return {
        "pixel_values": prompt.pixel_values,
        "image_grid_thw": grid,
        "images_seqlens": torch.repeat_interleave(grid[:, 1] * grid[:, 2], grid[:, 0]),
    }
