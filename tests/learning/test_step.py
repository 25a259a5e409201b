"""Attempts that a limit ended: they count in their group's mean, and give no gradient when the recipe masks them."""

import pytest
import torch
from makers import builder, prompts, recipe, rollout, tiny
from test_update import settings

from medrl.learning.step import give_advantages
from medrl.learning.update import update

REPLIES = ["<answer>1</answer>", "<answer>2</answer>", "three", "<think>four"]
REWARDS, ENDS = [1.0, 0.0, 0.0, 1.0], ["eos", "eos", "turns", "length"]


@pytest.fixture(scope="module")
def loaded():
    return tiny()


def batch(loaded, ends=ENDS):
    making, prompt = builder(loaded), prompts(loaded, 1)[0]
    made = [rollout(prompt, making.encode_reply(text), None) for text in REPLIES]
    for one, reward, end in zip(made, REWARDS, ends):
        one.reward, one.end_reason = reward, end
    return made


def given(tmp_path, masked, **more):
    return recipe(tmp_path, algorithm={"advantage": "dr_grpo", "mask_over_turns": masked, **more})


@pytest.mark.parametrize(
    "masked, ends, advantages",
    [
        (False, ENDS, [0.5, -0.5, -0.5, 0.5]),
        (True, ENDS, [0.5, -0.5, None, None]),  # the mean is still that of all four
        (True, ["done", "eos", "images", "eos"], [0.5, -0.5, None, 0.5]),
        (True, ["turns"] * 4, [None] * 4),
    ],
)
def test_masked_ones_count_in_their_groups_mean(loaded, tmp_path, masked, ends, advantages):
    made = batch(loaded, ends)
    metrics = give_advantages(given(tmp_path, masked), made, 0)
    assert [one.advantage for one in made] == advantages
    assert metrics["reward/mean"] == 0.5 and metrics["reward/missing"] == 0
    assert metrics.get("rollout/masked_over_turns") == (advantages.count(None) / 4 if masked else None)


def test_gdpo_sees_every_reward_as_it_counts(loaded, tmp_path):
    """`tool` applies to the second question only, `answer` stands behind `format`, one rollout has no score."""
    rewards = {
        "answer": {"use": "x.py", "gate": "format"}, "format": {"use": "x.py", "weight": 0.0},
        "tool": {"use": "x.py", "weight": 2.0},
    }  # fmt: skip
    table = [  # (question, answer, format, tool)
        (0, 1.0, 1.0, None), (0, 1.0, 0.0, None), (0, 0.0, 1.0, None), (0, None, 1.0, None),
        (1, 1.0, 0.0, 0.0), (1, 1.0, 0.0, 4.0), (1, 0.0, 0.0, 2.0),
    ]  # fmt: skip
    both, made = prompts(loaded, 2), []
    for question, *values in table:
        one = rollout(both[question], [5, 6], None)
        one.scores = {f"{name}/score": value for name, value in zip(rewards, values) if value is not None}
        if "answer/score" in one.scores:
            one.reward = sum(values[0:1]) * (values[1] > 0.5) + 2 * (values[2] or 0.0)
        else:
            one.missing = {"answer": "away"}
        made.append(one)
    settings = recipe(tmp_path, rewards=rewards, algorithm={"advantage": "gdpo"}, scoring={"max_missing": 0.5})
    metrics = give_advantages(settings, made, 0)
    # question 0: 1 0 0 of three, std 1/sqrt(3): 2s -s -s; question 1: the answer counts 0, the tool is -1 1 0, twice that
    raw = torch.tensor([2 / 3**0.5, -1 / 3**0.5, -1 / 3**0.5, -2.0, 2.0, 0.0])
    wanted = (raw / raw.std()).tolist()
    assert made[3].advantage is None and metrics["reward/missing"] == 1 / 7
    found = [one.advantage for one in made if one is not made[3]]
    assert found == pytest.approx(wanted, abs=1e-3) and metrics["group/zero_spread"] == 0.0


def gradient(loaded, rollouts, mode):
    """Each parameter's gradient: plain descent with rate 1 from the same weights."""
    before = [value.detach().clone() for value in loaded.policy.model.parameters()]
    optimizer = torch.optim.SGD(loaded.policy.model.parameters(), lr=1.0)
    update(loaded.policy, optimizer, rollouts, settings(loss_aggregation=mode, max_grad_norm=1e9))
    after = [value.detach().clone() for value in loaded.policy.model.parameters()]
    with torch.no_grad():
        for value, old in zip(loaded.policy.model.parameters(), before):
            value.copy_(old)
    return torch.cat([(old - new).flatten() for old, new in zip(before, after)])


@pytest.mark.parametrize("mode", ["seq-mean-token-mean", "seq-mean-token-sum-norm", "token-mean"])
def test_masked_ones_give_no_gradient_and_count_among_replies_but_not_among_tokens(loaded, tmp_path, mode):
    made = batch(loaded)
    give_advantages(given(tmp_path, True), made, 0)
    masked = gradient(loaded, made, mode)
    assert masked.abs().max() > 1e-3
    for one in made[2:]:  # whatever they say
        one.token_ids = one.token_ids[::-1]
    torch.testing.assert_close(gradient(loaded, made, mode), masked, atol=1e-7, rtol=0)
    for one in made[2:]:
        one.advantage = 0.0  # in the batch, without a say: the policy gradient of 0
    tokens = [len(one.token_ids) for one in made]
    denominators = sum(tokens[:2]) / sum(tokens) if mode == "token-mean" else 1.0
    torch.testing.assert_close(gradient(loaded, made, mode), masked * denominators, atol=1e-6, rtol=0)
