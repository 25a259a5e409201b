"""What verl measured, under medrl's names."""

import torch

from medrl.cluster.metrics import mean_entropies, policy_metrics

MASK = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
FIELDS = {
    "response_mask": MASK,
    "old_log_probs": torch.tensor([[-1.0, -9.0, -2.0], [-3.0, -1.0, 0.0]]),
    "rollout_log_probs": torch.tensor([[-1.5, -1.0, -2.0], [-3.0, -1.0, 0.0]]),
    "entropy": torch.tensor([[0.2, 5.0, 0.4], [1.0, 2.0, 7.0]]),
}


def test_means_are_over_trained_tokens_of_the_model_alone():
    found = policy_metrics(FIELDS, torch.tensor([True, False]))
    assert {name: round(value, 6) for name, value in found.items()} == {
        "policy/entropy": 0.3, "policy/engine_gap": 0.25, "policy/engine_gap_max": 0.5,
    }  # fmt: skip
    assert [round(value, 6) for value in mean_entropies(FIELDS["entropy"], MASK)] == [0.3, 1.5]


def test_a_step_that_trains_on_nothing_tells_nothing():
    # a 0 would be taken for a collapse of entropy
    assert policy_metrics(FIELDS, torch.tensor([False, False])) == {}
