"""A small random CLIP model, real classes: the score follows the box, and nothing but the box."""

import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from medrl.errors import MedrlError
from medrl.plugin import load_plugin

score = load_plugin("rewards/similarity.py", "compute_score").target


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A CLIP model of two layers with a vocabulary of letters, saved as a Hugging Face folder."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
        CLIPProcessor,
        PreTrainedTokenizerFast,
    )

    folder = tmp_path_factory.mktemp("clip")
    words = {word: index for index, word in enumerate(["<pad>", "<s>", "</s>", "bright", "square", "dark"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**small, "vocab_size": len(words), "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2}
    vision = {**small, "image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config={**text, "pad_token_id": 0}, vision_config=vision, projection_dim=8))
    model.save_pretrained(folder)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", bos_token="<s>", model_max_length=16
    )
    side = {"height": 32, "width": 32}
    CLIPProcessor(CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=side), fast).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def row():
    values = np.random.default_rng(0).integers(0, 60, (96, 128, 3)).astype(np.uint8)
    values[20:60, 30:80] = 240
    buffer = BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return {"phrase": "bright square", "images": [{"bytes": buffer.getvalue()}], "image_size": [128, 96]}


def boxed(*edges, thought="look", after=""):
    return f"<think>{thought}</think><answer>{list(edges)}</answer>{after}"


def test_the_score_follows_the_box_and_not_the_text_around_it(clip, row):
    here, there = (score("x", boxed(*edges), "", row, model=clip) for edges in ((30, 20, 80, 60), (0, 60, 40, 96)))
    assert here["crop"] != there["crop"] and here["whole"] == there["whole"]
    assert max(here["score"], there["score"]) > 0  # one of the two is better than the whole picture, or both are
    other_words = boxed(30, 20, 80, 60, thought="bright square " * 50, after=" score 10, bright square")
    assert score("x", other_words, "", row, model=clip) == here


def test_the_formula_against_the_models_own_logits(clip, row):
    import torch
    from transformers import CLIPModel, CLIPProcessor

    model, processor = CLIPModel.from_pretrained(clip).eval(), CLIPProcessor.from_pretrained(clip)
    picture = Image.open(BytesIO(row["images"][0]["bytes"]))
    for edges in ((30, 20, 80, 60), (0, 60, 40, 96), (0, 0, 60, 30)):
        found = score("x", boxed(*edges), "", row, model=clip)
        given = processor(
            text=[row["phrase"]], images=[picture.crop(edges), picture], return_tensors="pt", padding=True
        )
        with torch.inference_mode():
            crop, whole = model(**given).logits_per_image[:, 0].double().tolist()
        assert found["score"] == pytest.approx(max(0.0, 2 / (1 + np.exp(whole - crop)) - 1), abs=1e-5)


def test_another_frame_names_the_same_pixels(clip, row):
    in_thousandths = {**row, "image_size": [1000, 1000]}
    here = score("x", boxed(32, 24, 96, 72), "", row, model=clip)
    assert score("x", boxed(250, 250, 750, 750), "", in_thousandths, model=clip) == here


@pytest.mark.parametrize(
    "edges", [(80, 60, 30, 20), (5, 5, 5, 9), (200, 200, 300, 300), (10, 10, 13, 60), (-9, 0, 4, 96)]
)
def test_a_degenerate_box_is_answered_and_scores_nothing(clip, row, edges):
    found = score("x", boxed(*edges), "", row, model=clip)
    assert (found["score"], found["answered"]) == (0.0, 1.0)


def test_the_whole_picture_gains_nothing(clip, row):
    assert score("x", boxed(0, 0, 128, 96), "", row, model=clip)["score"] == pytest.approx(0.0, abs=1e-6)
    assert score("x", boxed(-500, -500, 5000, 5000), "", row, model=clip)["score"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("reply", ["", "somewhere", "<answer>[1, 2, nan, 4]</answer>", "[" * 150_000])
def test_no_box_is_no_answer(row, reply):
    assert score("x", reply, "", row, model="unused")["answered"] == 0.0


def test_what_is_missing_is_named(row, tmp_path):
    with pytest.raises(ValueError, match=r"kwargs\.model is missing"):
        score("x", "", "", row)
    with pytest.raises(ValueError, match="expected what the box should show"):
        score("x", "", "", {**row, "phrase": None}, model="m")
    with pytest.raises(MedrlError, match="no CLIP model could be loaded"):
        score("x", boxed(30, 20, 80, 60), "", row, model=str(tmp_path))


def test_importing_it_loads_neither_torch_nor_transformers():
    code = (
        "import sys; from medrl.plugin import load_plugin; load_plugin('rewards/similarity.py', 'compute_score');"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
