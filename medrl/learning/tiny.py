"""`model.path: tiny`: a Qwen2.5-VL of half a million parameters with its own tokenizer and processor, from random init.

It is the real architecture, saved in the real format, so every code path of a 7B run works on a laptop; only the sizes
differ. Deterministic by seed. It knows nothing: give it a cold start before GRPO.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
TAGS = (
    "<think>", "</think>", "<answer>", "</answer>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>",
)  # fmt: skip
# words that stand for themselves; anything else is spelled in letters, so every text survives a round trip
WORDS = """
a an and answer answers are at best between blood box cell cells centre choose column count final first find for form
from give given half how image in inside into is it kind left lesion lesions letter lies look many modality no none of
on one only or option out part picture pixels platelet platelets question reason red region right row see seen shown
side tags the then there think this to upper lower user what where which white with within write yes you your
name arguments zoom bbox rows columns squares plain inside may
assistant system large small tiny pale dark round CT MRI X-ray ultrasound fundus photograph microscopy
""".split()  # noqa: SIM905 - sixty quoted strings would read worse
CHAT_TEMPLATE = """{% for message in messages %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}\
{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% elif part['type'] == 'text' %}\
{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
PATCH_PX, MERGE = 14, 2
HEAD_DIM = 32  # the smallest that vLLM's attention on a CPU knows


def build_tiny(
    seed: int = 0,
    hidden: int = 96,
    layers: int = 2,
    vision_hidden: int = 64,
    vision_layers: int = 2,
    image_px: int = 112,
) -> tuple[Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor]:
    """The model (fp32, CPU) and its processor; equal seeds and sizes give equal weights.

    `image_px` is the side of the vision tower's attention window: pictures of that size are seen whole in every layer.
    """
    processor = tiny_processor()
    tokenizer = processor.tokenizer
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIAL}
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": hidden,
            "intermediate_size": hidden * 3,
            "num_hidden_layers": layers,
            "num_attention_heads": hidden // HEAD_DIM,
            "num_key_value_heads": 1,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": _sections(HEAD_DIM)},
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": vision_layers,
            "hidden_size": vision_hidden,
            "intermediate_size": vision_hidden * 2,
            "num_heads": 4,
            "out_hidden_size": hidden,
            "patch_size": PATCH_PX,
            "spatial_merge_size": MERGE,
            "window_size": image_px,
            "fullatt_block_indexes": list(range(vision_layers)),
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    return model, processor


def save_tiny(path: Path, seed: int = 0, **sizes: int) -> Path:
    """Write the model and processor as a Hugging Face folder, for tools that load from disk."""
    model, processor = build_tiny(seed, **sizes)
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


def tiny_config_type() -> str:
    """`model_type` of the tiny model's config."""
    return Qwen2_5_VLConfig.model_type


def tiny_processor() -> Qwen2_5_VLProcessor:
    """Tokenizer, image and video processor of the tiny model."""
    image: dict[str, Any] = {
        "patch_size": PATCH_PX,
        "merge_size": MERGE,
        "min_pixels": 28 * 28,
        "max_pixels": 448 * 448,
    }
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**image),
        tokenizer=_tokenizer(),
        video_processor=Qwen2VLVideoProcessor(**image),
        chat_template=CHAT_TEMPLATE,
    )


def _tokenizer() -> PreTrainedTokenizerFast:
    """A unigram tokenizer over whole words, printable characters and bytes; decoding gives back the text.

    (All but a literal U+2581, which stands for a blank.)
    """
    pieces: dict[str, float] = {"<unk>": -50.0}
    numbers = [str(number) for number in range(113)]
    for word in [*WORDS, *(word.capitalize() for word in WORDS), *numbers]:
        pieces.setdefault(word, -2.0)
        pieces.setdefault("▁" + word, -2.0)  # with the blank in front
    for character in ["▁", "\n", *(chr(code) for code in range(33, 127))]:
        pieces.setdefault(character, -8.0)
    for byte in range(256):
        pieces.setdefault(f"<0x{byte:02X}>", -12.0)
    backend = Tokenizer(models.Unigram(list(pieces.items()), unk_id=0, byte_fallback=True))
    # digits beyond 112 and words run together are cut at word borders first, so "lesions" never becomes "lesion" + "s"
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?[A-Za-z-]+| ?[0-9]+|[^A-Za-z0-9]"), "isolated"),
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="never", split=False),
        ]
    )
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    backend.add_tokens([AddedToken(name, special=False, normalized=False) for name in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
        padding_side="left",
        chat_template=CHAT_TEMPLATE,
    )


def _sections(head_dim: int) -> list[int]:
    """Qwen's split of the rotary half-dimension over time, height and width: 1 : 1.5 : 1.5."""
    half = head_dim // 2
    side = half * 3 // 8
    return [half - 2 * side, side, side]
