"""Losses of engine `local` against verl's own functions, with the settings that a recipe gives them: values and gradients.

No Ray: verl's loss is a pure function of log-probabilities, advantages, mask and settings. Six replies of different
lengths, one of them with an observation in the middle, one masked out as a whole.
"""

import pytest
import torch
from makers import recipe

from medrl.cluster.settings import Machine, compose, overrides
from medrl.learning.losses import clipped_loss, importance_ratio, k3_kl, token_weights

pytestmark = pytest.mark.cluster
TOLERANCE = 1e-5
MODES = ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"]
MAX_NEW_TOKENS = 12  # of the recipe in makers.py
ADVANTAGES = torch.tensor([1.2, -0.7, 0.4, -1.5, 0.9, 0.6])
MASKED_OUT = 5


def numbers():
    """(log-probabilities, old ones, reference's, mask), each (6, 9)."""
    generator = torch.Generator().manual_seed(11)
    old, moved, further = (torch.randn(6, 9, generator=generator) for _ in range(3))
    lengths = torch.tensor([9, 4, 1, 7, 6, 5])
    mask = (torch.arange(9) < lengths[:, None]).float()
    mask[3, 2:5] = 0  # what the environment said
    mask[MASKED_OUT] = 0
    old = -old.abs() - 0.1
    # a trend of each reply besides the noise, so that sequence ratios differ too
    trend = torch.tensor([0.3, 0.3, -0.2, -0.3, 0.02, 0.5])[:, None]
    return (old + trend + 0.2 * moved).requires_grad_(), old, old + 0.5 * further, mask


def actor(tmp_path, **algorithm):
    """verl's ActorConfig as a recipe makes it, told of a batch with all six replies."""
    from verl.utils.config import omega_conf_to_dataclass

    made = recipe(tmp_path, algorithm={"clip_low": 0.1, "clip_high": 0.25, **algorithm})
    config = omega_conf_to_dataclass(compose(overrides(made, Machine("cpu", 2, False), "tiny")).actor_rollout_ref.actor)
    config.global_batch_info.update(
        dp_size=1, batch_num_tokens=int(numbers()[3].sum()), global_batch_size=6,
        loss_scale_factor=config.loss_scale_factor,
    )  # fmt: skip
    return config


def theirs(config, logprobs, old, mask, advantages=ADVANTAGES):
    """(loss, metrics) of the function that verl's `loss_mode` names."""
    from verl.trainer.ppo.core_algos import get_policy_loss_fn

    spread = (advantages[:, None] * mask).expand_as(mask)
    return get_policy_loss_fn(config.policy_loss.loss_mode)(
        old_log_prob=old, log_prob=logprobs, advantages=spread, response_mask=mask.bool(),
        loss_agg_mode=config.loss_agg_mode, config=config, rollout_is_weights=None,
    )  # fmt: skip


def weights_of(mask, mode):
    """As update.py gives them: of the replies that are trained on, among all six."""
    return token_weights(mask, mode, MAX_NEW_TOKENS, rollouts=6)


def ours(ratio, logprobs, old, mask, mode, advantages=ADVANTAGES, low=0.1, high=0.25):
    losses, clipped = clipped_loss(importance_ratio(logprobs, old, mask, ratio), advantages, low, high)
    return (losses * weights_of(mask, mode)).sum(), float((clipped * mask).sum() / mask.sum())


def gradient(loss, logprobs):
    logprobs.grad = None
    loss.backward()
    return logprobs.grad


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ratio", ["token", "sequence"])
def test_policy_loss_and_gradient_equal_verls(tmp_path, ratio, mode):
    config = actor(tmp_path, ratio=ratio, loss_aggregation=mode)
    assert config.policy_loss.loss_mode == {"token": "vanilla", "sequence": "gspo"}[ratio]
    logprobs, old, _, mask = numbers()
    wanted, metrics = theirs(config, logprobs, old, mask)
    wanted_gradient = gradient(wanted, logprobs)
    found, clipped = ours(ratio, logprobs, old, mask, mode)
    found_gradient = gradient(found, logprobs)
    assert found.item() == pytest.approx(wanted.item(), abs=TOLERANCE) and abs(found.item()) > 1e-3
    torch.testing.assert_close(found_gradient, wanted_gradient, atol=TOLERANCE, rtol=0)
    assert clipped == pytest.approx(metrics["actor/pg_clipfrac"], abs=TOLERANCE) and 0 < clipped < 1
    assert not found_gradient[mask == 0].any() and not wanted_gradient[mask == 0].any()
    rows = found_gradient.abs().sum(1) > 0
    assert rows.any() and (ratio == "token" or not rows[:MASKED_OUT].all()), "no reply is clipped as a whole"


@pytest.mark.parametrize("bound", ["clip_low", "clip_high"])
def test_each_bound_is_that_of_the_recipe_in_verls_gspo_too(tmp_path, bound):
    """Another value of one bound changes verl's loss as it changes ours."""
    logprobs, old, _, mask = numbers()
    logprobs = logprobs.detach()
    usual, changed = {"low": 0.1, "high": 0.25}, {"low": 0.1, "high": 0.25, bound.removeprefix("clip_"): 0.05}
    config = actor(tmp_path, ratio="sequence", **{bound: 0.05})
    wanted, found = (
        theirs(config, logprobs, old, mask)[0],
        ours("sequence", logprobs, old, mask, MODES[1], **changed)[0],
    )
    assert found.item() == pytest.approx(wanted.item(), abs=TOLERANCE)
    assert abs(found.item() - ours("sequence", logprobs, old, mask, MODES[1], **usual)[0].item()) > 1e-4


@pytest.mark.parametrize("ratio", ["token", "sequence"])
def test_a_micro_batch_of_masked_replies_alone_is_zero_and_no_nan(tmp_path, ratio):
    config = actor(tmp_path, ratio=ratio)
    logprobs, old, _, mask = numbers()
    loss, metrics = theirs(config, logprobs, old, torch.zeros_like(mask))
    assert loss.item() == 0 and not gradient(loss, logprobs).any()
    assert all(value == value for value in metrics.values())
    assert torch.isfinite(importance_ratio(logprobs, old, torch.zeros_like(mask), ratio)).all()


def test_verl_holds_the_sequence_ratio_below_e_to_the_ten_and_we_do_not(tmp_path):
    """Only a bad reply that has become e^10 times as likely per token meets it: verl takes its gradient away."""
    config = actor(tmp_path, ratio="sequence")
    _, old, _, mask = numbers()
    for shift, same in ((9.0, True), (11.0, False)):
        logprobs = (old + shift).requires_grad_()
        wanted, _ = theirs(config, logprobs, old, mask, -torch.ones(6))
        found, _ = ours("sequence", logprobs, old, mask, "seq-mean-token-mean", -torch.ones(6))
        assert (found.item() == pytest.approx(wanted.item(), rel=1e-5)) == same
        assert bool(gradient(wanted, logprobs).any()) == same and gradient(found, logprobs).any()


@pytest.mark.parametrize("mode", MODES)
def test_kl_penalty_equals_verls(tmp_path, mode):
    from verl.trainer.ppo.core_algos import agg_loss, kl_penalty

    config = actor(tmp_path, kl_coef=0.3, loss_aggregation=mode)
    assert config.use_kl_loss and config.kl_loss_coef == 0.3
    logprobs, _, reference, mask = numbers()
    table = kl_penalty(logprobs, reference, config.kl_loss_type)
    torch.testing.assert_close(k3_kl(logprobs, reference), table, atol=TOLERANCE, rtol=0)
    wanted = agg_loss(table, mask.bool(), config.loss_agg_mode, **config.global_batch_info)
    wanted_gradient = gradient(wanted, logprobs)
    found = (k3_kl(logprobs, reference) * weights_of(mask, mode)).sum()
    assert found.item() == pytest.approx(wanted.item(), abs=TOLERANCE) and found.item() > 1e-3
    torch.testing.assert_close(gradient(found, logprobs), wanted_gradient, atol=TOLERANCE, rtol=0)
