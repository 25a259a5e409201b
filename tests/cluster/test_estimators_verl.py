"""Estimators against verl's own of the same name, to 1e-5; no run, no Ray."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medrl.learning.advantages.grpo import dr_grpo, grpo, rloo
from medrl.learning.estimator import BUILT_IN, load_estimator
from medrl.recipe import Algorithm

pytestmark = pytest.mark.cluster
SIZES = (4, 4, 2, 8, 4, 4)  # of the groups; no attempt is alone, to which verl's grpo and rloo would give its reward

# verl's name, its settings, ours; an all-equal group's reward is a power of two, so that its float mean is exact
PAIRS = {
    "grpo": ("grpo", {}, lambda rewards, groups: grpo(rewards, groups, 1e-6)),
    "grpo_vectorized": ("grpo_vectorized", {}, lambda rewards, groups: grpo(rewards, groups, 1e-6)),
    "dr_grpo": ("grpo", {"norm_adv_by_std_in_grpo": False}, dr_grpo),
    "dr_grpo_vectorized": ("grpo_vectorized", {"norm_adv_by_std_in_grpo": False}, dr_grpo),
    "rloo": ("rloo", {}, rloo),
    "rloo_vectorized": ("rloo_vectorized", {}, rloo),
}


def batch(seed):
    """(token rewards on the last token of each reply, its mask, verl's uids, our sums, our groups), in mixed order."""
    generator = torch.Generator().manual_seed(seed)
    groups = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
    groups = groups[torch.randperm(len(groups), generator=generator)]
    totals = torch.rand(len(groups), generator=generator) * torch.tensor([1.0, 100.0, 1.0, 0.01, 1.0, 1.0])[groups]
    totals[groups == 4] = 0.5
    lengths = torch.randint(1, 7, (len(groups),), generator=generator)
    mask = (torch.arange(6) < lengths[:, None]).float()
    spread = torch.zeros_like(mask)
    spread[torch.arange(len(groups)), lengths - 1] = totals
    return spread, mask, np.array([f"group-{group}" for group in groups], dtype=object), totals, groups


@pytest.mark.parametrize("pair", PAIRS)
def test_equal_to_verls(pair):
    from verl.trainer.ppo.core_algos import get_adv_estimator_fn

    name, settings, ours = PAIRS[pair]
    for seed in range(5):
        spread, mask, uids, totals, groups = batch(seed)
        theirs, _ = get_adv_estimator_fn(name)(
            token_level_rewards=spread,
            response_mask=mask,
            index=uids,
            config=SimpleNamespace(get={}.get),
            **settings,
        )
        assert theirs.abs().max() > 0.5
        torch.testing.assert_close(ours(totals, groups)[:, None] * mask, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("advantage", "kwargs", "why"),
    [
        ("grpo", {}, ""),
        ("rloo", {}, ""),
        ("grpo", {"epsilon": 1e-6}, "does not hand on algorithm.kwargs={'epsilon': 1e-06}"),
        ("worst_group", {}, "needs domains, state"),
        ("mine.py", {}, "is a file of yours, which plain verl does not load"),
    ],
)
def test_what_a_plain_verl_command_cannot_have_is_said(tmp_path, advantage, kwargs, why):
    from medrl.cluster.explain import estimator_fault

    (tmp_path / "mine.py").write_text("def compute_advantages(rewards, groups):\n    return rewards\n")
    told = estimator_fault(load_estimator(Algorithm(advantage=advantage, kwargs=kwargs), tmp_path))
    assert why in told and bool(told) == bool(why)


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_is_in_verls_registry_or_says_what_it_needs(name):
    from verl.trainer.ppo.core_algos import get_adv_estimator_fn

    from medrl.cluster.estimators import IN_PLAIN_VERL, register_all

    register_all()
    spread, mask, uids, totals, groups = batch(0)
    asked = {"token_level_rewards": spread, "response_mask": mask, "index": uids}
    estimator = load_estimator(Algorithm(advantage=name))
    if more := estimator.asks_for - IN_PLAIN_VERL:
        with pytest.raises(ValueError, match=f"medrl_{name}: needs {', '.join(sorted(more))}"):
            get_adv_estimator_fn(f"medrl_{name}")(**asked)
        return
    theirs, _ = get_adv_estimator_fn(f"medrl_{name}")(**asked)
    torch.testing.assert_close(theirs, estimator.function(rewards=totals, groups=groups)[:, None] * mask)
