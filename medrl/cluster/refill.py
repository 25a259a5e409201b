"""Where verl's trainer takes a step's rollouts from: learning/filtering.py asks for them here, as it does in engine `local`.

verl calls `sample` while the servers are awake and hold the policy's weights, so samples can be asked in place of others.
verl's own `algorithm.filter_groups` stays off: it judges by the weighted sum or by one attempt's fields, and has no bound.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import transfer_queue as tq
from ray.exceptions import RayError
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from medrl.data.sample import Sample
from medrl.learning.filtering import Gathered, gather
from medrl.learning.plan import Plan
from medrl.rollout.types import Rollout

TRAIN = "train"  # verl's partition


class Trainer(Protocol):
    """What is used of trainer.py's."""

    plan: Plan
    course: Any
    samples: dict[str, Sample]
    held: dict[str, Rollout]
    gathered: Gathered

    def batch_of(self, samples: Sequence[Sample]) -> TensorDict: ...
    def unpack(self, keys: list[str], extras: Any) -> list[Rollout | None]: ...
    def _submit_batch_to_rollout(self, batch: TensorDict) -> int: ...


class StepBuffer:
    """verl's replay buffer; a training batch is what `gather` chooses. It leaves its rollouts with the trainer, by key."""

    def __init__(self, buffer: ReplayBuffer, trainer: Trainer) -> None:
        self.buffer, self.trainer = buffer, trainer

    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[KVBatchMeta, dict[str, Any]]:
        """(keys and tags to train on, verl's metrics). After it `trainer.samples` are in the order of the rollouts."""
        if partition_id != TRAIN:
            return self.buffer.sample(global_steps=global_steps, partition_id=partition_id, batch_size=batch_size)
        trainer = self.trainer
        trainer.samples, trainer.held = {}, {}
        tags: dict[str, dict[str, Any]] = {}
        metrics: dict[str, Any] = {}
        empty: list[RuntimeError] = []

        def ask(samples: list[Sample]) -> list[Rollout]:
            batch = trainer.batch_of(samples)
            uids = list(batch["uid"])
            trainer.samples |= dict(zip(uids, samples))
            trainer._submit_batch_to_rollout(batch)
            try:
                found, told = self.buffer.sample(global_steps=global_steps, partition_id=TRAIN, batch_size=len(samples))
            except RuntimeError as error:  # verl's word for a batch without one rollout
                if isinstance(error, RayError):
                    raise
                tq.kv_clear(keys=uids, partition_id=TRAIN)
                empty.append(error)
                return []
            metrics.update(told)
            tags.update(zip(found.keys, found.tags))
            data = tq.kv_batch_get(keys=found.keys, partition_id=TRAIN, select_fields=["extra_fields"])
            rollouts = trainer.unpack(found.keys, data["extra_fields"])
            trainer.held |= {key: one for key, one in zip(found.keys, rollouts) if one is not None}
            place = {uid: number for number, uid in enumerate(uids)}
            keys = sorted(set(found.keys) & trainer.held.keys(), key=lambda key: _place(key, place))
            return [trainer.held[key] for key in keys]

        plan = trainer.plan
        trainer.gathered = gathered = gather(plan.recipe, global_steps - 1, trainer.course, ask, plan.estimator)
        if not gathered.rollouts and empty:
            raise empty[0]
        key_of = {id(rollout): key for key, rollout in trainer.held.items()}
        keys = [key_of[id(rollout)] for rollout in gathered.rollouts]
        order = dict.fromkeys([key.split("_")[0] for key in keys])
        trainer.samples = {uid: trainer.samples[uid] for uid in [*order, *(trainer.samples.keys() - order)]}
        trained = keys[: len(gathered.batch)]
        if aside := keys[len(gathered.batch) :]:
            tq.kv_clear(keys=aside, partition_id=TRAIN)
        return KVBatchMeta(partition_id=TRAIN, keys=trained, tags=[tags[key] for key in trained]), metrics


def _place(key: str, place: dict[str, int]) -> tuple[int, int]:
    """verl names a rollout `<group>_<attempt>_<number>`."""
    uid, attempt, _ = key.split("_")
    return place[uid], int(attempt)
