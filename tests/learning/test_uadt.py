"""Advantages shaped by uncertainty: hand-worked tables, what must never change, ranks, and whose tokens count."""

import json
import math
import multiprocessing
from datetime import timedelta

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from makers import prompts, recipe, rollout, tiny
from test_update import settings

from medrl.errors import MedrlError
from medrl.learning.advantages.grpo import grpo
from medrl.learning.advantages.uadt import FORMS, uadt
from medrl.learning.estimator import load_estimator
from medrl.learning.update import measure
from medrl.recipe import Algorithm

# Two groups of two, each with one right answer: A = +-0.5 / sqrt(0.5) = +-0.70710678 with epsilon 0.
# Step 1: h = 2.5 1.5 | 1 1, u = 2 1, mu = 1.5. Step 2: h = 3 3 | 0.5 1.5, u = 3 1, mean 2, mu = 0.8 * 1.5 + 0.2 * 2 = 1.6.
REWARDS, GROUPS = torch.tensor([1.0, 0.0, 1.0, 0.0]), torch.tensor([4, 4, 9, 9])
STEPS = torch.tensor([[2.5, 1.5, 1.0, 1.0], [3.0, 3.0, 0.5, 1.5]])
A = 0.70710678


def both_steps(**kwargs):
    first = uadt(REWARDS, GROUPS, STEPS[0], {}, gamma=0.8, epsilon=0.0, **kwargs)
    return first, uadt(REWARDS, GROUPS, STEPS[1], first.state, gamma=0.8, epsilon=0.0, **kwargs)


def test_multiplicative_table_over_two_steps():
    first, second = both_steps(lambda_=0.5)
    # w = tanh(+-0.5) = +-0.46211716, so 1.23105858 A and 0.76894142 A
    assert first.advantages.tolist() == pytest.approx([0.87048987, -0.87048987, 0.54372369, -0.54372369], abs=1e-6)
    assert first.state["mu"] == 1.5 and first.metrics["uncertainty"] == first.metrics["reference"] == 1.5
    # w = tanh(1.4) = 0.88535165 and tanh(-0.6) = -0.53704957, so 1.44267582 A and 0.73147522 A
    assert second.advantages.tolist() == pytest.approx([1.02012586, -1.02012586, 0.51723109, -0.51723109], abs=1e-6)
    assert second.state["mu"] == pytest.approx(1.6, abs=1e-12) and second.metrics["uncertainty"] == 2.0
    assert second.metrics["weight_mean"] == pytest.approx((0.88535165 - 0.53704957) / 2, abs=1e-6)
    assert second.metrics["weight_max"] == pytest.approx(0.88535165, abs=1e-6)


def test_additive_table_with_clipping():
    first, second = both_steps(lambda_=0.5, form="additive", kappa=2.0)
    # lambda w h / mu: 0.23105858 * (2.5, 1.5) / 1.5 = 0.38509763, cut to A / 2 = 0.35355339, and 0.23105858;
    # -0.23105858 / 1.5 = -0.15403905 twice. It is added to the bad replies too: what is unsure is punished less
    expected = [A + 0.35355339, -A + 0.23105858, A - 0.15403905, -A - 0.15403905]
    assert first.advantages.tolist() == pytest.approx(expected, abs=1e-6)
    # 0.44267582 * 3 / 1.6 = 0.83001717, cut; -0.26852478 * (0.5, 1.5) / 1.6 = -0.08391399 and -0.25174198
    expected = [A + 0.35355339, -A + 0.35355339, A - 0.08391399, -A - 0.25174198]
    assert second.advantages.tolist() == pytest.approx(expected, abs=1e-6)


def test_scale_std_table():
    first, second = both_steps(lambda_=0.5, scale="std")
    # variance (0.25 + 0.25) / 2 = 0.25, so w = tanh(+-0.5 / 0.5) = +-0.76159416
    expected = [1.38079708 * A, -1.38079708 * A, 0.61920292 * A, -0.61920292 * A]
    assert first.advantages.tolist() == pytest.approx(expected, abs=1e-6)
    # squared distances from 1.6: 1.96 and 0.36, mean 1.16; variance 0.8 * 0.25 + 0.2 * 1.16 = 0.432
    assert second.state["variance"] == pytest.approx(0.432, abs=1e-12)
    up, down = math.tanh(1.4 / math.sqrt(0.432)), math.tanh(-0.6 / math.sqrt(0.432))
    expected = [(1 + 0.5 * up) * A, -(1 + 0.5 * up) * A, (1 + 0.5 * down) * A, -(1 + 0.5 * down) * A]
    assert second.advantages.tolist() == pytest.approx(expected, abs=1e-6)


@st.composite
def batches(draw):
    """(rewards, groups, entropies, state) of one to four groups with one to five attempts."""
    groups = [number for number in range(draw(st.integers(1, 4))) for _ in range(draw(st.integers(1, 5)))]
    numbers = st.lists(st.integers(0, 16), min_size=len(groups), max_size=len(groups))
    nats = st.lists(st.floats(0, 12, width=32), min_size=len(groups), max_size=len(groups))
    state = draw(st.one_of(st.just({}), st.fixed_dictionaries({"mu": st.floats(0, 12), "variance": st.floats(0, 9)})))
    rewards = torch.tensor(draw(numbers), dtype=torch.float32) / 8
    return rewards, torch.tensor(groups), torch.tensor(draw(nats)), state


SCALES = st.one_of(st.just("std"), st.floats(0.01, 10))


@given(batches(), SCALES, st.sampled_from(FORMS))
def test_lambda_zero_is_grpo_to_the_last_bit(batch, scale, form):
    rewards, groups, entropies, state = batch
    found = uadt(rewards, groups, entropies, state, lambda_=0.0, scale=scale, form=form)
    assert torch.equal(found.advantages, grpo(rewards, groups)) and found.advantages.dtype == torch.float32


@given(batches(), SCALES, st.floats(-0.99, 0.99))
def test_multiplicative_keeps_signs_and_its_bound(batch, scale, lambda_):
    rewards, groups, entropies, state = batch
    plain, found = (
        grpo(rewards, groups),
        uadt(rewards, groups, entropies, state, lambda_=lambda_, scale=scale).advantages,
    )
    assert torch.equal(found.sign(), plain.sign())
    assert (found.abs() <= (1 + abs(lambda_)) * plain.abs() * (1 + 1e-6)).all()


@given(batches(), SCALES, st.floats(-50, 50), st.floats(1.01, 20))
def test_the_additive_bonus_is_a_share_of_the_advantage_and_keeps_signs(batch, scale, lambda_, kappa):
    rewards, groups, entropies, state = batch
    plain = grpo(rewards, groups)
    found = uadt(
        rewards, groups, entropies, state, lambda_=lambda_, scale=scale, form="additive", kappa=kappa
    ).advantages
    assert torch.equal(found.sign(), plain.sign())
    assert ((found - plain).abs() <= plain.abs() / kappa + 1e-6).all()


@pytest.mark.parametrize("form", FORMS)
def test_no_gradient_flows_through_the_weight(form):
    entropies = STEPS[0].clone().requires_grad_()
    logprobs = torch.zeros(4, requires_grad=True)
    shaped = uadt(REWARDS, GROUPS, entropies, {}, form=form).advantages
    assert not shaped.requires_grad
    (shaped * logprobs + 0.0 * entropies).sum().backward()
    assert torch.equal(logprobs.grad, shaped) and torch.equal(entropies.grad, torch.zeros(4))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("state", [{}, {"mu": 1.1, "variance": 0.3}])
def test_an_uncertainty_at_the_reference_changes_nothing(form, state):
    entropies = torch.tensor([0.6, 1.6, 1.0, 1.2], dtype=torch.float64)  # u = 1.1 in both groups
    found = uadt(REWARDS, GROUPS, entropies, state, lambda_=0.9, form=form)
    assert found.metrics["weight_max"] < 1e-12
    assert torch.equal(found.advantages, grpo(REWARDS, GROUPS))


def test_a_policy_without_any_entropy_gives_numbers():
    for form in FORMS:
        for scale in (1.0, "std"):
            found = uadt(REWARDS, GROUPS, torch.zeros(4), {}, form=form, scale=scale)
            assert torch.equal(found.advantages, grpo(REWARDS, GROUPS)) and found.state == {"mu": 0.0, "variance": 0.0}


def test_state_survives_json_to_the_last_bit():
    state, entropies = {}, torch.tensor([0.1, 0.7, 1 / 3, math.pi])
    for step in range(5):
        state = uadt(REWARDS, GROUPS, entropies * (1.1**step), state, scale="std").state
    kept = json.loads(json.dumps(state))
    assert kept == state and len(repr(state["mu"])) > 12, "a round number would survive anything"
    ours, theirs = (uadt(REWARDS, GROUPS, entropies, one, scale="std") for one in (state, kept))
    assert torch.equal(ours.advantages, theirs.advantages) and ours.state == theirs.state


# ---- several processes

RANKS, WAIT_S = 2, 30
MANY_GROUPS = torch.arange(8).repeat_interleave(3)
MANY_REWARDS = (torch.arange(24) * 7 % 5) / 4.0
MANY_ENTROPIES = [torch.rand(24, generator=torch.Generator().manual_seed(step)) * (1 + step) for step in range(2)]


def two_steps(groups: torch.Tensor) -> tuple[list, dict]:
    """(advantages of both steps, state) of these groups out of all."""
    mine, state, advantages = torch.isin(MANY_GROUPS, groups), {}, []
    for entropies in MANY_ENTROPIES:
        found = uadt(MANY_REWARDS[mine], MANY_GROUPS[mine], entropies[mine], state, gamma=0.7, scale="std")
        state = found.state
        advantages += found.advantages.tolist()
    return advantages, state


def one_rank(rank: int, folder) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=RANKS, timeout=timedelta(seconds=WAIT_S - 10)
    )
    advantages, state = two_steps(torch.arange(8)[rank::RANKS])
    (folder / f"{rank}.json").write_text(json.dumps({"advantages": advantages, "state": state}))
    torch.distributed.destroy_process_group()


def test_two_ranks_with_half_of_the_groups_each_remember_what_one_with_all_does(tmp_path):
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=one_rank, args=(rank, tmp_path)) for rank in range(RANKS)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(WAIT_S)
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in ranks] == [0, 0]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(RANKS))
    _, alone = two_steps(torch.arange(8))
    assert first["state"] == second["state"], "the ranks would shape by different references from now on"
    assert first["state"] == pytest.approx(alone, abs=1e-12)
    apart = two_steps(torch.arange(8)[0::RANKS])[1]
    assert abs(apart["mu"] - alone["mu"]) > 1e-3, "half of the groups would have done; the test would be empty"
    for rank, found in enumerate((first, second)):
        mine = torch.isin(MANY_GROUPS, torch.arange(8)[rank::RANKS])
        both = torch.tensor(two_steps(torch.arange(8))[0]).view(2, 24)[:, mine]
        assert found["advantages"] == pytest.approx(both.flatten().tolist(), abs=1e-6)


# ---- whose tokens count


def test_what_the_environment_said_does_not_count(tmp_path):
    """Own tokens around an observation, and one more observation at the end, as where the turns run out."""
    loaded = tiny()
    prompt = prompts(loaded, 1)[0]
    said, seen, more = [9, 30, 41], [12, 55, 60, 61], [7, 100]
    made = []
    for tail in ([13, 14], [200, 201, 202, 203, 204, 205]):
        tokens = [*said, *seen, *more, *tail]
        one = rollout(prompt, tokens, reward=1.0)
        one.mask = [1] * 3 + [0] * 4 + [1] * 2 + [0] * len(tail)
        made.append(one)
    measure(loaded.policy, made, settings())
    with torch.no_grad():
        _, _, every = loaded.policy.token_logprobs(
            [prompt] * 2, [one.token_ids for one in made], temperature=1.0, with_entropy=True
        )
    own = torch.tensor([0, 1, 2, 7, 8])
    for one, entropies in zip(made, every):
        assert one.entropy == pytest.approx(float(entropies[own].mean()), abs=1e-6)
        with_theirs = float(entropies[: len(one.token_ids)].mean())
        assert abs(one.entropy - with_theirs) > 1e-4, "their tokens are as unsure as its own; the test would be empty"
    assert made[0].entropy == pytest.approx(made[1].entropy, abs=1e-6)
    estimator = load_estimator(Algorithm(advantage="uadt"))
    made[1].reward = 0.0
    estimator.advantages(recipe(tmp_path), made)
    assert estimator.state["mu"] == pytest.approx(float(every[0][own].mean()), abs=1e-6)


# ---- the recipe's numbers


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"gamma": 1.0}, r"algorithm\.kwargs\.gamma=1\.0: expected at least 0 and below 1"),
        ({"gamma": -0.1}, "gamma=-0.1"),
        ({"gamma": "0.9"}, r"gamma='0\.9': expected a number"),
        ({"gamma": math.nan}, "gamma=nan: expected a number"),
        ({"lambda": 1.0}, r"lambda=1\.0: expected above -1 and below 1; beyond, right and wrong answers would change"),
        ({"lambda": math.nan, "form": "additive"}, "lambda=nan"),
        ({"lambda": True}, "lambda=True: expected a number"),
        ({"scale": 0}, "scale=0: expected nats above 0, or `std`"),
        ({"scale": "wide"}, "scale=wide"),
        ({"form": "sum"}, "form=sum: expected one of multiplicative, additive"),
        ({"form": "additive", "kappa": 1}, "kappa=1: expected above 1"),
        ({"epsilon": -1e-4}, "epsilon=-0.0001"),
        ({"gama": 0.9}, "gama"),
        ({"state": {}}, "state"),
    ],
)
def test_numbers_that_do_not_fit_are_refused_with_the_reason(kwargs, text):
    with pytest.raises(MedrlError, match=text):
        load_estimator(Algorithm(advantage="uadt", kwargs=kwargs))


def test_numbers_that_fit_are_taken():
    for kwargs in ({}, {"lambda": -0.5, "gamma": 0, "scale": "std"}, {"form": "additive", "lambda": 3, "kappa": 1.5}):
        assert load_estimator(Algorithm(advantage="uadt", kwargs=kwargs)).asks_for == {
            "rewards", "groups", "entropies", "state",
        }  # fmt: skip
