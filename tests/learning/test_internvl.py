"""InternVL through the local engine: what transformers' own processor and model give, in tokens, pixels and probabilities."""

import asyncio
import io
from dataclasses import replace
from pathlib import Path

import chat_models
import pytest
import torch
from makers import recipe
from PIL import Image, ImageDraw
from transformers import InternVLConfig, InternVLForConditionalGeneration

from medrl.data.sample import make_sample
from medrl.errors import MedrlError
from medrl.learning.generate import LocalEngine
from medrl.learning.model import load_model, save_model
from medrl.learning.update import UpdateSettings, make_optimizer, update
from medrl.preflight import check
from medrl.recipe import Algorithm, Engine, Model, Optimizer
from medrl.rollout.episode import run_episode
from medrl.rollout.types import Sampling

SIZES = [(500, 240), (300, 300)]  # two tiles and the view of the whole; one tile


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A very small InternVL on disk, as `model.path` names one."""
    words = chat_models.tokenizer("internvl")
    end, pad = words.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    text = {
        "model_type": "qwen2", "vocab_size": len(words), "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 8192,
        "eos_token_id": end, "pad_token_id": pad, "bos_token_id": pad,
    }  # fmt: skip
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = InternVLConfig(
        text_config=text, vision_config=vision, image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>")
    )
    torch.manual_seed(0)
    model = InternVLForConditionalGeneration(config)
    model.model.multi_modal_projector.linear_2.weight.data *= 30  # so that pictures matter beside text
    path = tmp_path_factory.mktemp("internvl")
    model.save_pretrained(path)
    chat_models.processor("internvl").save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def loaded(folder):
    return load_model(Model(path=str(folder)), Engine(device="cpu"), 0, Path("unused"))


def drawn(size, colour):
    image = Image.new("RGB", size, (90, 30, 30))
    ImageDraw.Draw(image).ellipse((20, 20, 120, 120), colour)
    return image


def prompt_of(made, pictures):
    images = []
    for picture in pictures:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        images.append({"bytes": buffer.getvalue()})
    return made.build(
        make_sample(id="x", data_source="t", question="What?", images=images, ground_truth="A", kind="open", split="t")
    )


def test_tokens_and_pixels_are_the_processors_own(loaded):
    made = chat_models.builder("internvl")
    pictures = [drawn(size, "white") for size in SIZES]
    prompt = prompt_of(made, pictures)
    theirs = loaded.processor(text=[prompt.text], images=pictures, max_patches=2, return_tensors="pt")
    assert list(prompt.token_ids) == theirs["input_ids"][0].tolist()
    assert torch.equal(prompt.pixel_values, theirs["pixel_values"]) and len(prompt.pixel_values) == 4
    assert prompt.model_sizes_px == ((896, 448), (448, 448)) and prompt.frame == "norm1000"


@pytest.mark.parametrize("share", [True, False])
def test_log_probabilities_equal_those_of_transformers(loaded, share):
    made = chat_models.builder("internvl")
    pictures = [[drawn(SIZES[0], "white")], [drawn(SIZES[1], "yellow"), drawn(SIZES[0], "green")]]
    prompts = [prompt_of(made, some) for some in pictures]
    responses = [made.encode_reply("<think>upper left</think>"), made.encode_reply("A")]
    allowed = torch.ones(len(made.tokenizer), dtype=torch.bool)
    allowed[loaded.policy.forbidden_ids] = False
    with torch.no_grad():
        ours, _, _ = loaded.policy.token_logprobs(prompts, responses, temperature=1.0, share_prompts=share)
        for prompt, some, response, row in zip(prompts, pictures, responses, ours):
            given = loaded.processor(text=[prompt.text], images=some, max_patches=2, return_tensors="pt")
            ids = torch.cat([given["input_ids"], torch.tensor([response])], dim=1)
            logits = loaded.policy.core(input_ids=ids, pixel_values=given["pixel_values"]).logits[
                0, -len(response) - 1 : -1
            ]
            theirs = logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)
            theirs = theirs.gather(-1, torch.tensor(response)[:, None])[:, 0]
            torch.testing.assert_close(row[: len(response)], theirs, atol=1e-5, rtol=0)
    other = prompt_of(made, [drawn(SIZES[0], "black")])
    blind, _, _ = loaded.policy.token_logprobs([other], responses[:1], temperature=1.0)
    assert not torch.allclose(blind[0], ours[0, : len(responses[0])], atol=1e-4), "the picture makes no difference"


def test_greedy_equals_transformers_generate(loaded):
    made = chat_models.builder("internvl")
    prompt = prompt_of(made, [drawn(SIZES[0], "white")])
    played = asyncio.run(run_episode(LocalEngine(loaded.policy), made, prompt, 0, Sampling(0.0, 6)))
    ids = torch.tensor([prompt.token_ids])
    theirs = loaded.policy.core.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values=prompt.pixel_values,
        do_sample=False,
        max_new_tokens=6,
        suppress_tokens=loaded.policy.forbidden_ids.tolist(),
    )[0, ids.shape[1] :].tolist()
    assert played.token_ids == theirs and not played.missing
    assert {"<img>", "</img>", "<IMG_CONTEXT>"} <= {
        made.control_ids.get(i) for i in loaded.policy.forbidden_ids.tolist()
    }


def test_an_update_reaches_the_vision_tower_and_a_frozen_one_is_left_alone(folder, tmp_path):
    for frozen in (False, True):
        model = load_model(Model(path=str(folder), freeze_vision=frozen), Engine(device="cpu"), 0, Path("unused"))
        made = chat_models.builder("internvl", max_pixels=448 * 448)
        rollouts = [
            asyncio.run(
                run_episode(
                    LocalEngine(model.policy), made, prompt_of(made, [drawn(SIZES[1], "white")]), n, Sampling(1.0, 5, n)
                )
            )
            for n in range(2)
        ]
        for rollout, advantage in zip(rollouts, (1.0, -1.0)):
            rollout.advantage = advantage
        before = {name: value.detach().clone() for name, value in model.policy.core.named_parameters()}
        settings = UpdateSettings(Algorithm(), 1.0, 5, 1, 2, 1.0, share_prompts=True)
        metrics = update(model.policy, make_optimizer(model.policy, Optimizer(lr=1e-2)), rollouts, settings)
        changed = {name for name, value in model.policy.core.named_parameters() if not torch.equal(value, before[name])}
        assert metrics["policy/engine_gap_max"] < 1e-4
        assert any("language_model" in name for name in changed)
        assert any("vision_tower" in name or "projector" in name for name in changed) is not frozen
        save_model(model.policy, model.processor, tmp_path / str(frozen))
        again = load_model(Model(path=str(tmp_path / str(frozen))), Engine(device="cpu"), 0, Path("unused"))
        name = next(name for name in sorted(changed) if "language_model" in name)
        assert torch.equal(
            dict(again.policy.core.named_parameters())[name], dict(model.policy.core.named_parameters())[name]
        )


def test_engine_verl_refuses_it_before_a_model_is_loaded(folder, tmp_path):
    given = recipe(tmp_path, model={"path": str(folder), "max_pixels": 448 * 448}, sampling={"max_prompt_tokens": 999})
    assert check(given).builder.family.model_type == "internvl"
    with pytest.raises(MedrlError, match=r"engine\.name=verl trains Qwen-VL models; .* internvl .* engine\.name=local"):
        check(replace(given, engine=replace(given.engine, name="verl")))


def test_a_budget_below_one_tile_is_refused_before_anything_loads():
    made = chat_models.builder("internvl", max_pixels=448 * 448 - 1)
    with pytest.raises(MedrlError, match=r"one tile .* 448 x 448 = 200704 pixels. Raise model.max_pixels"):
        prompt_of(made, [drawn(SIZES[1], "white")])
