"""The tiny model is the real architecture in the real format, equal for equal seeds, and reads back from disk."""

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from medrl.learning.tiny import build_tiny


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_equal_seeds_give_equal_weights():
    assert torch.equal(flat(build_tiny(3)[0]), flat(build_tiny(3)[0]))
    assert not torch.equal(flat(build_tiny(3)[0]), flat(build_tiny(4)[0]))


def test_building_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    build_tiny(0)
    assert torch.equal(torch.rand(1), expected)


def test_loads_from_disk_by_the_auto_classes(tiny_folder):
    model, processor = (
        AutoModelForImageTextToText.from_pretrained(tiny_folder),
        AutoProcessor.from_pretrained(tiny_folder),
    )
    assert model.config.model_type == "qwen2_5_vl" and torch.equal(flat(model), flat(build_tiny(0)[0]))
    text = "<think>lesion at row 2, 12 px</think><answer>3</answer>"
    assert processor.tokenizer.decode(processor.tokenizer(text)["input_ids"]) == text


def test_every_text_survives_a_round_trip():
    tokenizer = build_tiny(0)[1].tokenizer
    for text in [
        "How many lesions?",
        "  two  blanks\nand lines\n\n",
        "5.2 mm² – naïve Ⓑ 肺炎",
        "A) CT, B) MRI",
        "x1=113,y=-4",
        "",
    ]:
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
