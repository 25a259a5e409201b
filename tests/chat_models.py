"""Processors of four model families as the hub has them, made on the spot: byte-level BPE with each family's own tokens.

The templates are ours, short, and give what the published ones give for text and pictures (test_chat_templates.py
compares). What differs between the families is kept: a default system turn or none, `<tool_call>` as one token or spelled
in several, picture tokens with the template's brackets or the processor's, and how a picture is cut.
"""

from functools import cache

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    GotOcr2ImageProcessor,
    InternVLProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)
from transformers.models.internvl.video_processing_internvl import InternVLVideoProcessor

from medrl.dialogue.prompts import load_style
from medrl.dialogue.tokens import PromptBuilder
from medrl.vision.resize import family_of

TURNS = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n"
    "{% if turn.content is string %}{{ turn.content }}{% else %}{% for part in turn.content %}"
    "{% if part.type == 'image' %}PICTURE{% elif 'text' in part %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HELPFUL = "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
QWEN_PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
TEMPLATES = {
    "qwen2_vl": HELPFUL + TURNS.replace("PICTURE", QWEN_PICTURE),
    "qwen2_5_vl": HELPFUL + TURNS.replace("PICTURE", QWEN_PICTURE),
    "qwen3_vl": TURNS.replace("PICTURE", QWEN_PICTURE),
    "internvl": TURNS.replace("PICTURE", "<IMG_CONTEXT>\n"),
}
FAMILIES = tuple(TEMPLATES)
ENDS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
BOXES = ("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>")
VISION = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")
INTERN = ("<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>", "<video>")
CALLS = ("<tool_call>", "</tool_call>")
SPECIAL = dict.fromkeys(FAMILIES, (*ENDS, *BOXES, *VISION)) | {"internvl": (*ENDS, *BOXES, *VISION, *INTERN)}
PLAIN = {  # added tokens that are text
    "qwen2_vl": (),
    "qwen2_5_vl": CALLS,
    "qwen3_vl": (*CALLS, "<tool_response>", "</tool_response>", "<think>", "</think>"),
    "internvl": CALLS,
}
WORDS = (
    "the lesion is at the upper left of the picture so I look there again <think> </think> <answer> </answer> "
    '{"name": "zoom", "arguments": {"bbox_2d": [10, 20, 300, 400], "image": 1}} <grounding> </grounding> "source" '
    '"observation_2" {"thought": "a region", "actions": [{"name": "Terminate"}]} Größe 画像 здесь 🙂 الصورة\n\n'
)


@cache
def tokenizer(family):
    """Byte-level BPE with Qwen's way of splitting words, 900 merges, and the family's own tokens."""
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(words), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        [WORDS] * 3, trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, show_progress=False)
    )
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL[family]])
    backend.add_tokens([AddedToken(name, special=False, normalized=False) for name in PLAIN[family]])
    named = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    if family == "internvl":
        named = {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        }
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=named,
        padding_side="left",
        chat_template=TEMPLATES[family],
    )


@cache
def processor(family):
    """The family's processor as transformers has it, around that tokenizer."""
    words = tokenizer(family)
    if family == "internvl":
        tiles = GotOcr2ImageProcessor(size={"height": 448, "width": 448}, crop_to_patches=True, max_patches=12)
        return InternVLProcessor(tiles, words, InternVLVideoProcessor(), chat_template=TEMPLATES[family])
    kind = {"qwen2_vl": Qwen2VLProcessor, "qwen2_5_vl": Qwen2_5_VLProcessor, "qwen3_vl": Qwen3VLProcessor}[family]
    sizes = {"patch_size": family_of(family).patch_size, "merge_size": 2}
    video = (Qwen3VLVideoProcessor if family == "qwen3_vl" else Qwen2VLVideoProcessor)(**sizes)
    return kind(Qwen2VLImageProcessor(**sizes), words, video, chat_template=TEMPLATES[family])


def builder(family, max_pixels=None, style="think", max_prompt_tokens=8192):
    """A PromptBuilder with small pictures: 112 pixels a side at most, or two tiles and the view of the whole."""
    most = max_pixels or (2 * 448 * 448 if family == "internvl" else 112 * 112)
    return PromptBuilder(
        processor(family),
        family_of(family),
        load_style(style),
        min_pixels=784,
        max_pixels=most,
        max_prompt_tokens=max_prompt_tokens,
    )
