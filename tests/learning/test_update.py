"""One update: micro-batches do not change it, minibatches use the old log-probabilities, missing scores train nothing."""

import copy

import pytest
import torch
from makers import builder, prompts, tiny

from medrl.learning.generate import LocalEngine
from medrl.learning.update import Reference, UpdateSettings, make_optimizer, update
from medrl.recipe import Algorithm, Optimizer
from medrl.rollout.episode import run_group_episodes
from medrl.rollout.types import Sampling


def settings(**values):
    algorithm = Algorithm(**{key: values.pop(key) for key in list(values) if key in Algorithm.__dataclass_fields__})
    given = {
        "temperature": 1.0,
        "max_new_tokens": 10,
        "minibatches": 1,
        "micro_batch_size": 64,
        "max_grad_norm": 1.0,
        "share_prompts": True,
    }
    return UpdateSettings(algorithm=algorithm, **{**given, **values})


@pytest.fixture
def batch():
    loaded = tiny()
    rollouts = run_group_episodes(
        LocalEngine(loaded.policy), builder(loaded), prompts(loaded, 4), 2, Sampling(1.0, 10, seed=4), "x"
    )
    for number, rollout in enumerate(rollouts):
        rollout.token_ids = rollout.token_ids[: 3 + number]  # different lengths
        rollout.mask, rollout.logprobs = [1] * len(rollout.token_ids), rollout.logprobs[: len(rollout.token_ids)]
        rollout.advantage = (-1.0) ** number * (1 + number / 4)
    return loaded, rollouts


def weights_after(batch, **values):
    loaded, rollouts = batch
    loaded = copy.deepcopy(loaded)
    # plain descent with rate 1: the change of the weights is the gradient, which Adam would hide
    optimizer = torch.optim.SGD(loaded.policy.model.parameters(), lr=1.0)
    metrics = update(loaded.policy, optimizer, rollouts, settings(**values))
    return torch.cat([p.detach().flatten() for p in loaded.policy.model.parameters()]), metrics


@pytest.mark.parametrize("advantage", ["grpo", "dr_grpo"])
@pytest.mark.parametrize("mode", [None, "token-mean"])
def test_one_by_eight_micro_batches_equal_eight_by_one(batch, advantage, mode):
    before = torch.cat([p.detach().flatten() for p in batch[0].policy.model.parameters()])
    once, metrics = weights_after(batch, advantage=advantage, loss_aggregation=mode, micro_batch_size=8)
    eight, metrics_eight = weights_after(batch, advantage=advantage, loss_aggregation=mode, micro_batch_size=1)
    assert (once - before).abs().max() > 1e-3, "the update changed nothing; the test would be empty"
    torch.testing.assert_close(once, eight, atol=1e-5, rtol=0)
    assert metrics["optimizer/grad_norm"] == pytest.approx(metrics_eight["optimizer/grad_norm"], rel=1e-5)
    assert metrics["policy/entropy"] == pytest.approx(metrics_eight["policy/entropy"], rel=1e-5)
    assert metrics["policy/loss"] == pytest.approx(metrics_eight["policy/loss"], rel=1e-4, abs=1e-6)


def test_engine_gap_is_small_and_seen_when_it_is_not(batch):
    _, rollouts = batch
    _, metrics = weights_after(batch)
    assert 0 <= metrics["policy/engine_gap_max"] < 1e-4
    rollouts[0].logprobs[1] -= 0.5
    _, metrics = weights_after(batch)
    assert metrics["policy/engine_gap_max"] == pytest.approx(0.5, abs=1e-3)


def test_a_missing_score_trains_nothing(batch):
    loaded, rollouts = batch
    for rollout in rollouts:
        rollout.advantage = None
    before = torch.cat([p.detach().flatten() for p in loaded.policy.model.parameters()])
    after, metrics = weights_after(batch)
    assert torch.equal(before, after) and metrics["optimizer/grad_norm"] == 0


def test_masked_tokens_do_not_reach_the_gradient(batch):
    _, rollouts = batch
    whole, _ = weights_after(batch)
    rollouts[3].mask[1] = 0
    without, _ = weights_after(batch)
    assert not torch.equal(whole, without)
    rollouts[3].advantage = -99.0
    rollouts[3].mask = [0] * len(rollouts[3].mask)
    first, _ = weights_after(batch)
    rollouts[3].advantage = 99.0
    second, _ = weights_after(batch)
    assert torch.equal(first, second)


def test_later_minibatches_are_off_policy(batch):
    _, metrics = weights_after(batch, minibatches=4, clip_low=1e-4, clip_high=1e-4)
    assert metrics["policy/clip_fraction"] > 0, "old log-probabilities were taken again after the first minibatch"
    _, metrics = weights_after(batch, minibatches=1, clip_low=1e-4, clip_high=1e-4)
    assert metrics["policy/clip_fraction"] == 0


def test_one_ratio_for_a_reply_is_the_same_on_policy_and_another_off_policy(batch):
    by_token, _ = weights_after(batch)
    by_reply, _ = weights_after(batch, ratio="sequence")
    torch.testing.assert_close(by_reply, by_token, atol=1e-6, rtol=0)
    off = {"minibatches": 2, "clip_low": 1e-5, "clip_high": 1e-5}
    by_token, _ = weights_after(batch, **off)
    by_reply, metrics = weights_after(batch, ratio="sequence", **off)
    assert (by_token - by_reply).abs().max() > 1e-5 and 0 < metrics["policy/clip_fraction"] < 1
    one_by_one, metrics_one = weights_after(batch, ratio="sequence", micro_batch_size=1, **off)
    torch.testing.assert_close(one_by_one, by_reply, atol=1e-5, rtol=0)
    assert metrics_one["policy/clip_fraction"] == pytest.approx(metrics["policy/clip_fraction"], abs=1e-6)


def test_reference_is_the_model_before_training(batch):
    loaded, rollouts = copy.deepcopy(batch)
    reference = Reference(loaded.policy)
    optimizer = make_optimizer(loaded.policy, Optimizer(lr=1e-2))
    first = update(loaded.policy, optimizer, rollouts, settings(kl_coef=0.1), reference)
    second = update(loaded.policy, optimizer, rollouts, settings(kl_coef=0.1), reference)
    assert first["policy/kl"] == pytest.approx(0, abs=1e-6) and second["policy/kl"] > 1e-3
    current = next(loaded.policy.model.parameters()).detach().clone()
    with reference.in_place():
        assert not torch.equal(next(loaded.policy.model.parameters()), current)
    assert torch.equal(next(loaded.policy.model.parameters()), current)


def test_gradient_checkpointing_gives_the_same_update(batch):
    _, metrics = weights_after(batch)
    loaded = tiny(gradient_checkpointing=True)
    optimizer = make_optimizer(loaded.policy, Optimizer(lr=1e-2))
    checkpointed = update(loaded.policy, optimizer, batch[1], settings(share_prompts=False))
    assert checkpointed["optimizer/grad_norm"] == pytest.approx(metrics["optimizer/grad_norm"], rel=1e-4)


def test_lora_trains_the_adapter_alone(tmp_path):
    from medrl.learning.model import load_model
    from medrl.recipe import Engine, Model

    loaded = load_model(Model(path="tiny", lora_rank=4), Engine(device="cpu"), 0, tmp_path / "base")
    names = [name for name, p in loaded.policy.model.named_parameters() if p.requires_grad]
    assert names and all("lora_" in name and "visual" not in name for name in names)
    rollouts = run_group_episodes(
        LocalEngine(loaded.policy), builder(loaded), prompts(loaded, 2), 2, Sampling(1.0, 5, seed=4), "x"
    )
    for number, rollout in enumerate(rollouts):
        rollout.advantage = (-1.0) ** number
    before = {name: p.detach().clone() for name, p in loaded.policy.model.named_parameters()}
    update(loaded.policy, make_optimizer(loaded.policy, Optimizer(lr=1e-2)), rollouts, settings())
    changed = {name for name, p in loaded.policy.model.named_parameters() if not torch.equal(p, before[name])}
    assert changed and changed <= set(names)
