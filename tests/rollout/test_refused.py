"""A rollout whose tokens cannot be trained on costs one rollout: refused with a reason, counted, and never run."""

import asyncio
from dataclasses import replace

import pytest
import torch
from dialogues import Scripted
from makers import recipe, rollout, samples, tiny
from playing import ANSWER, call, detail, making, zooming

from medrl.errors import MedrlError
from medrl.learning.cold_start import imitated
from medrl.learning.step import give_advantages
from medrl.learning.update import UpdateSettings, make_optimizer, update
from medrl.recipe import Algorithm, Optimizer
from medrl.rollout.episode import run_episode
from medrl.rollout.refused import TOKENS, fault_of
from medrl.rollout.types import Sampling
from medrl.scoring.loaded import load_rewards
from medrl.scoring.rewards import common_reasons, score_rollouts


@pytest.fixture(scope="module")
def loaded():
    return tiny()


def said(made, interaction, *replies, sample=None):
    prompt = made.build(sample or detail())
    engine = Scripted(replies, made.tokenizer.eos_token_id)
    return asyncio.run(run_episode(engine, made, prompt, 0, Sampling(max_new_tokens=900), interaction))


SMUGGLED = ("<|image_pad|>", "<|vision_start|>", "<|video_pad|>", "<|im_start|>")


@pytest.mark.parametrize("token", SMUGGLED)
@pytest.mark.parametrize("place", [0, 3, -3])
def test_a_control_token_in_a_reply_ends_the_episode_and_nothing_is_done_for_it(loaded, token, place):
    made = making(loaded)
    ids = made.encode_reply(call((28, 28, 56, 56)))
    ids.insert(place % len(ids), made.tokenizer.convert_tokens_to_ids(token))
    played = said(made, zooming(), ids, made.encode_reply(ANSWER))
    assert played.end_reason == "forbidden_token" and token in played.missing[TOKENS]
    assert [turn.confirmed for turn in played.turns] == [None] and played.added is None
    alone = said(made, None, ids)
    assert alone.end_reason == "forbidden_token" and alone.token_ids == ids, "tokens are never altered"


def test_a_refused_rollout_has_no_reward_is_counted_and_stops_a_run_of_them(loaded, tmp_path):
    made, interaction = making(loaded), zooming()
    bad = [*made.encode_reply(ANSWER)[:-1], made.image_token_id, made.tokenizer.eos_token_id]
    played = [said(made, interaction, ids) for ids in (made.encode_reply(ANSWER), bad)]
    given = recipe(tmp_path, rewards={"answer": {"use": "rewards/choice.py"}}, scoring={"max_missing": 0.5})
    score_rollouts(played, load_rewards(given.rewards))
    assert played[0].reward is not None and played[1].reward is None and not played[1].scores
    assert "1 x rollout.tokens: forbidden_token: the model said <|image_pad|>" in common_reasons(played)
    metrics = give_advantages(given, played, 0)
    assert metrics["rollout/refused"] == 0.5 and metrics["reward/missing"] == 0.5
    with pytest.raises(MedrlError, match=r"rollout\.tokens: forbidden_token"):
        give_advantages(replace(given, scoring=replace(given.scoring, max_missing=0.05)), played, 0)


@pytest.mark.parametrize("minibatches", [1, 2])
def test_an_update_never_runs_a_refused_rollout(loaded, minibatches):
    """Its image token would have no feature, and the forward pass would end the run."""
    made = making(loaded)
    prompt = made.build(samples(1)[0])
    bad = rollout(prompt, [9, made.image_token_id, 12], advantage=None)
    good = [rollout(prompt, made.encode_reply(ANSWER), advantage) for advantage in (1.0, -1.0, 0.5)]
    settings = UpdateSettings(Algorithm(), 1.0, 900, minibatches, 8, 1.0, share_prompts=False)
    metrics = update(tiny().policy, make_optimizer(tiny().policy, Optimizer(lr=1e-3)), [bad, *good], settings)
    assert metrics["optimizer/grad_norm"] > 0
    with pytest.raises((StopIteration, ValueError, RuntimeError)), torch.no_grad():
        loaded.policy.token_logprobs([prompt], [bad.token_ids], temperature=1.0, share_prompts=False)


def test_pictures_and_tokens_that_disagree_are_refused(loaded):
    made = making(loaded)
    played = said(made, zooming(), made.encode_reply(call((28, 28, 56, 56))), made.encode_reply(ANSWER))
    assert played.added is not None and fault_of(played, made) is None
    place = next(n for n, (index, own) in enumerate(zip(played.token_ids, played.mask)) if index == made.image_token_id)
    shortened = {name: getattr(played, name)[:place] for name in ("token_ids", "mask", "logprobs")}
    tokens = played.token_ids.count(made.image_token_id)
    for broken in (
        replace(played, added=None),  # verl#4050 the other way round
        replace(played, **shortened),  # verl#4050: a picture kept although its tokens were cut
        replace(played, added=played.added.followed_by(played.added)),
    ):
        assert "image_tokens: " in (fault_of(broken, made) or "") and str(tokens) in fault_of(
            replace(played, added=None), made
        )
    assert "lengths: " in (fault_of(replace(played, mask=played.mask[:-1]), made) or "")


def test_a_demonstration_that_spells_a_control_token_is_refused(loaded):
    made = making(loaded)
    sample = detail()
    extra = {**sample.extra_info, "demonstration": ["<think>see <|image_pad|></think><answer>A</answer>"]}
    prompt = made.build(replace(sample, extra_info=extra))
    with pytest.raises(MedrlError, match=r"control token .<\|image_pad\|>"):
        imitated(made, [prompt], zooming())
