"""An exported folder is the trained model: equal logits, processor and template inside, nothing overwritten."""

import json
import shutil

import pytest
import torch
from faults.test_resume import journal, run_here
from makers import prompts, tiny
from transformers import AutoModelForImageTextToText, AutoProcessor

from medrl.errors import MedrlError
from medrl.learning.model import export_model, load_model, save_model
from medrl.recipe import Engine, Model


def logits(model, prompt):
    ids = torch.tensor([prompt.token_ids])
    with torch.no_grad():
        return model(
            input_ids=ids,
            pixel_values=prompt.pixel_values,
            image_grid_thw=prompt.image_grid_thw,
            mm_token_type_ids=(ids == model.config.image_token_id).int(),
        ).logits


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_exported_logits_equal_the_trained_models(tmp_path, lora_rank):
    loaded = load_model(Model(path="tiny", lora_rank=lora_rank), Engine(device="cpu"), 0, tmp_path / "base")
    with torch.no_grad():
        for parameter in loaded.policy.model.parameters():
            if parameter.requires_grad:
                parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    save_model(loaded.policy, loaded.processor, tmp_path / "model")
    export_model(tmp_path / "model", tmp_path / "out")
    prompt = prompts(loaded, 1)[0]
    exported = AutoModelForImageTextToText.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(logits(exported, prompt), logits(loaded.policy.core, prompt), atol=1e-4, rtol=0)
    assert not torch.allclose(logits(exported, prompt), logits(tiny().policy.model, prompt), atol=1e-3)
    assert AutoProcessor.from_pretrained(tmp_path / "out").tokenizer.chat_template
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text())["eos_token_id"]
    with pytest.raises(MedrlError, match="nothing is overwritten"):
        export_model(tmp_path / "model", tmp_path / "out")


def test_a_lora_run_resumes_and_exports(tmp_path):
    lora = {"model": {"lora_rank": 2}}
    whole = run_here(tmp_path / "whole", **lora)
    half = tmp_path / "half"
    run_here(half, **lora)
    folder = half / "test"
    shutil.rmtree(folder / "checkpoints" / "global_step_4")
    (folder / "checkpoints" / "latest").write_text("global_step_2\n")
    run_here(half, **lora)
    assert journal(folder) == journal(whole)
    export_model(folder / "checkpoints" / "global_step_4" / "model", tmp_path / "out")
    assert AutoModelForImageTextToText.from_pretrained(tmp_path / "out").config.model_type == "qwen2_5_vl"
