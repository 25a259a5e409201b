"""The local engine draws what the model's distribution says, the same for a rollout whoever shares its batch."""

import asyncio

import pytest
import torch
from makers import builder, prompts, tiny

from medrl.learning.generate import LocalEngine
from medrl.rollout.episode import run_group_episodes
from medrl.rollout.types import Sampling


@pytest.fixture(scope="module")
def loaded():
    return tiny()


def test_a_rollout_is_the_same_whoever_shares_its_batch(loaded):
    five = prompts(loaded, 5)
    sampling = Sampling(1.0, 10, seed=3)
    together = run_group_episodes(LocalEngine(loaded.policy), builder(loaded), five, 3, sampling, "x")
    reversed_order = run_group_episodes(LocalEngine(loaded.policy), builder(loaded), five[::-1], 3, sampling, "x")
    alone = run_group_episodes(LocalEngine(loaded.policy, rows_at_once=1), builder(loaded), five, 3, sampling, "x")
    key = lambda rollout: (rollout.prompt.sample.id, rollout.attempt)  # noqa: E731
    expected = {key(rollout): rollout.token_ids for rollout in together}
    assert len({tuple(ids) for ids in expected.values()}) == 15, "attempts must differ"
    assert {key(rollout): rollout.token_ids for rollout in reversed_order} == expected
    assert {key(rollout): rollout.token_ids for rollout in alone} == expected


def test_engine_log_probabilities_equal_the_trainers(loaded):
    rollouts = run_group_episodes(
        LocalEngine(loaded.policy), builder(loaded), prompts(loaded, 3), 2, Sampling(0.8, 9, seed=1), "x"
    )
    trainer, _, _ = loaded.policy.token_logprobs(
        [rollout.prompt for rollout in rollouts], [rollout.token_ids for rollout in rollouts], temperature=0.8
    )
    for rollout, row in zip(rollouts, trainer):
        torch.testing.assert_close(torch.tensor(rollout.logprobs), row[: len(rollout.token_ids)], atol=2e-5, rtol=0)


def test_greedy_equals_transformers_generate(loaded):
    model, processor = loaded.policy.model, loaded.processor
    for prompt in prompts(loaded, 3):
        ours = run_group_episodes(LocalEngine(loaded.policy), builder(loaded), [prompt], 1, Sampling(0.0, 12), "x")[0]
        ids = torch.tensor([prompt.token_ids])
        theirs = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=prompt.pixel_values,
            image_grid_thw=prompt.image_grid_thw,
            mm_token_type_ids=(ids == model.config.image_token_id).int(),
            do_sample=False,
            max_new_tokens=12,
            suppress_tokens=loaded.policy.forbidden_ids.tolist(),
        )[0, ids.shape[1] :].tolist()
        assert ours.token_ids == theirs
        assert ours.text == processor.tokenizer.decode(theirs, skip_special_tokens=True)


def test_a_reply_continued_in_parts_is_the_reply_made_at_once(loaded):
    prompt, other = prompts(loaded, 2)
    engine = LocalEngine(loaded.policy)

    async def both(*requests):
        return await asyncio.gather(*(engine.generate(*request) for request in requests))

    whole, other_whole = asyncio.run(both((prompt, (), Sampling(0.0, 10)), (other, (), Sampling(0.0, 10))))
    # one row goes on after four tokens, one after seven, one starts anew: three paddings in one batch
    parts = [(prompt, whole.token_ids[:4], Sampling(0.0, 6)), (other, other_whole.token_ids[:7], Sampling(0.0, 3))]
    late, later, anew = asyncio.run(both(*parts, (prompt, (), Sampling(0.0, 10))))
    assert whole.token_ids == [*whole.token_ids[:4], *late.token_ids] == anew.token_ids
    assert other_whole.token_ids == [*other_whole.token_ids[:7], *later.token_ids]
    assert late.logprobs == pytest.approx(whole.logprobs[4:], abs=1e-5)


def test_sampling_follows_the_distribution(loaded):
    prompt = prompts(loaded, 1)[0]
    draws = 3000
    rollouts = run_group_episodes(
        LocalEngine(loaded.policy), builder(loaded), [prompt], draws, Sampling(0.25, 1, seed=5), "x"
    )
    with torch.no_grad():
        expected = loaded.policy.logits(loaded.policy.read([prompt]).last_hidden, 0.25).softmax(-1)[0]
    found = (
        torch.bincount(torch.tensor([rollout.token_ids[0] for rollout in rollouts]), minlength=len(expected)) / draws
    )
    top = expected.topk(20).indices
    deviation = (expected * (1 - expected) / draws).sqrt()
    assert ((found - expected).abs() < 5 * deviation + 1e-9)[top].all()
    assert found[loaded.policy.forbidden_ids].sum() == 0


def test_rows_stop_at_their_own_end_and_limit(loaded):
    # an end token made very likely: rows end at different steps, and each keeps exactly one end token
    policy = loaded.policy
    prompt = prompts(loaded, 1)[0]
    original, stop = policy.logits, next(iter(policy.stop_ids))

    def eager(hidden, temperature):
        logits = original(hidden, temperature)
        logits[..., stop] += 5.0
        return logits

    policy.logits = eager
    try:
        rollouts = run_group_episodes(LocalEngine(policy), builder(loaded), [prompt], 64, Sampling(1.0, 6, seed=2), "x")
    finally:
        policy.logits = original
    assert len({len(rollout.token_ids) for rollout in rollouts}) > 2
    for rollout in rollouts:
        ended = rollout.token_ids[-1] in policy.stop_ids
        assert rollout.end_reason == ("eos" if ended else "length")
        assert len(rollout.token_ids) <= 6 and (ended or len(rollout.token_ids) == 6)
        assert not any(token in policy.stop_ids for token in rollout.token_ids[:-1])
        assert len(rollout.logprobs) == len(rollout.mask) == len(rollout.token_ids)


@pytest.mark.parametrize("at", [2, 5])
def test_generation_stops_with_the_token_that_completes_the_end_of_an_action(loaded, at):
    made, two = builder(loaded), prompts(loaded, 2)
    free = run_group_episodes(LocalEngine(loaded.policy), made, two, 4, Sampling(1.0, 12, seed=4), "x")
    text = made.decode(free[0].token_ids[at : at + 2]).strip()[-3:]  # what a row says in mid-reply ends them all
    assert text.isascii() and text
    end = made.action_end(text)
    ended = run_group_episodes(LocalEngine(loaded.policy), made, two, 4, Sampling(1.0, 12, seed=4, end=end), "x")
    for one, whole in zip(ended, free):
        wanted = end.cut(whole.token_ids)
        assert one.token_ids == whole.token_ids[:wanted] and one.logprobs == pytest.approx(
            whole.logprobs[:wanted], abs=1e-5
        )
        done = text in made.decode(one.token_ids) or one.token_ids[-1] in loaded.policy.stop_ids
        assert one.end_reason == ("eos" if done else "length")
    assert len(ended[0].token_ids) < len(free[0].token_ids)
    assert len({len(rollout.token_ids) for rollout in ended}) > 1, "rows without the text go on"


def test_a_failure_reaches_whoever_waits(loaded):
    engine = LocalEngine(loaded.policy)
    original = loaded.policy.read
    loaded.policy.read = lambda prompts: (_ for _ in ()).throw(RuntimeError("out of memory"))
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            asyncio.run(engine.generate(prompts(loaded, 1)[0], (), Sampling(1.0, 2)))
    finally:
        loaded.policy.read = original
