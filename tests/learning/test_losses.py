"""Loss pieces against hand-worked numbers."""

import math

import pytest
import torch

from medrl.learning.losses import clipped_loss, importance_ratio, k3_kl, token_weights

MASK = torch.tensor([[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
MODES = ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"]


def test_clipping_table():
    # ratios 1.5, 0.5, 1.1 against bounds 0.8 and 1.28, for a good (+1) and a bad (-2) reply
    ratios = torch.tensor([[1.5, 0.5, 1.1], [1.5, 0.5, 1.1]])
    losses, clipped = clipped_loss(ratios, torch.tensor([1.0, -2.0]), 0.2, 0.28)
    # good: max(-1.5, -1.28) max(-0.5, -0.8) -1.1; bad: max(3, 2.56) max(1, 1.6) 2.2
    torch.testing.assert_close(losses, torch.tensor([[-1.28, -0.5, -1.1], [3.0, 1.6, 2.2]]))
    torch.testing.assert_close(clipped, torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("mode", MODES)
def test_on_policy_the_ratio_is_one_and_the_gradient_the_advantage(level, mode):
    logprobs = (-torch.arange(1.0, 9.0).reshape(2, 4) / 3).requires_grad_()
    ratio = importance_ratio(logprobs, logprobs.detach(), MASK, level)
    assert torch.equal(ratio, torch.ones(2, 4))
    losses, clipped = clipped_loss(ratio, torch.tensor([0.7, -0.3]), 0.2, 0.2)
    weights = token_weights(MASK, mode, 10)
    (losses * weights).sum().backward()
    torch.testing.assert_close(logprobs.grad, torch.tensor([[-0.7], [0.3]]) * weights)
    assert not clipped.any()


def test_token_ratio_table():
    ratio = importance_ratio(torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.5, -1.0]]), torch.ones(1, 2), "token")
    torch.testing.assert_close(ratio, torch.tensor([[math.exp(0.5), math.exp(-1)]]))


def test_sequence_ratio_table():
    """Three replies of 3, 2 and 2 own tokens; what the environment said (0.9 and 5.0) and padding say nothing."""
    gaps = torch.tensor([[0.3, -0.1, 0.1, 0.0], [-0.1, 0.9, -0.5, 0.0], [0.05, 5.0, -0.03, 0.0]])
    mask = torch.tensor([[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0]])
    logprobs = gaps.clone().requires_grad_()
    ratio = importance_ratio(logprobs, torch.zeros(3, 4), mask, "sequence")
    # means 0.1, -0.3, 0.01; e^0.1, e^-0.3, e^0.01
    wanted = torch.tensor([[1.10517092], [0.74081822], [1.01005017]]).expand(3, 4)
    torch.testing.assert_close(ratio, wanted, atol=1e-6, rtol=0)
    losses, clipped = clipped_loss(ratio, torch.tensor([1.0, -2.0, 3.0]), 0.05, 0.08)
    # good: max(-1.105, -1.08), clipped; bad: max(1.4816, 1.9), clipped; the third is within the bounds: -3 * 1.01005
    torch.testing.assert_close(losses, torch.tensor([[-1.08], [1.9], [-3.03015050]]).expand(3, 4), atol=1e-6, rtol=0)
    assert torch.equal(clipped, torch.tensor([[1.0], [1.0], [0.0]]).expand(3, 4))
    (losses * token_weights(mask, "seq-mean-token-mean", 10)).sum().backward()
    # clipped replies teach nothing; the third -A s / T / 3 replies at each own token, whatever that token's own ratio
    each = -3.0 * 1.01005017 / 2 / 3
    expected = torch.tensor([[0.0] * 4, [0.0] * 4, [each, 0.0, each, 0.0]])
    torch.testing.assert_close(logprobs.grad, expected, atol=1e-6, rtol=0)


def test_a_reply_without_own_tokens_has_ratio_one():
    ratio = importance_ratio(torch.full((1, 3), -2.0), torch.zeros(1, 3), torch.zeros(1, 3), "sequence")
    assert torch.equal(ratio, torch.ones(1, 3))


def test_k3_table():
    found = k3_kl(torch.tensor([[0.0, -1.0, -0.5]]), torch.tensor([[0.0, -0.5, -1.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.0, math.exp(0.5) - 1.5, math.exp(-0.5) - 0.5]]))


@pytest.mark.parametrize(
    ("mode", "row_of_three", "row_of_one"),
    [
        ("token-mean", 1 / 4, 1 / 4),
        ("seq-mean-token-mean", 1 / 6, 1 / 2),
        ("seq-mean-token-sum", 1 / 2, 1 / 2),
        ("seq-mean-token-sum-norm", 1 / 20, 1 / 20),
    ],
)
def test_aggregation_table(mode, row_of_three, row_of_one):
    expected = torch.tensor([[row_of_three] * 3 + [0.0], [row_of_one, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(token_weights(MASK, mode, max_new_tokens=10), expected)


def test_a_reply_without_score_still_counts_in_the_denominator():
    torch.testing.assert_close(token_weights(MASK, "seq-mean-token-sum", 10, rollouts=4), MASK / 4)
