"""Loss pieces against hand-worked numbers."""

import math

import pytest
import torch

from medrl.learning.losses import clipped_loss, k3_kl, token_weights

MASK = torch.tensor([[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])


def test_clipping_table():
    # ratios 1.5, 0.5, 1.1 against bounds 0.8 and 1.28, for a good (+1) and a bad (-2) reply
    ratios = torch.tensor([[1.5, 0.5, 1.1], [1.5, 0.5, 1.1]])
    losses, clipped = clipped_loss(ratios.log(), torch.zeros(2, 3), torch.tensor([1.0, -2.0]), 0.2, 0.28)
    # good: max(-1.5, -1.28) max(-0.5, -0.8) -1.1; bad: max(3, 2.56) max(1, 1.6) 2.2
    torch.testing.assert_close(losses, torch.tensor([[-1.28, -0.5, -1.1], [3.0, 1.6, 2.2]]))
    torch.testing.assert_close(clipped, torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))


def test_on_policy_gradient_is_the_advantage():
    logprobs = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    losses, _ = clipped_loss(logprobs, logprobs.detach(), torch.tensor([0.7]), 0.2, 0.2)
    losses.sum().backward()
    torch.testing.assert_close(logprobs.grad, torch.full((1, 2), -0.7))


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
