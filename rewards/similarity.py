"""Score one box by how much better its crop fits a phrase than the whole picture does, as a CLIP model sees both."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from PIL.Image import Image

from medrl.dialogue.answers import read_box
from medrl.errors import MedrlError
from medrl.vision.boxes import pixel_box
from medrl.vision.frames import convert_box
from medrl.vision.open import open_image

NEEDS_IMAGES = True  # medrl then gives extra_info["images"]; under plain verl, write the pictures' paths into the row
EXAMPLE = None  # it needs a CLIP model, and none small enough to ship would be an honest example


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: object,
    extra_info: Mapping[str, Any] | None = None,
    model: str = "",
    image: int = 0,
    min_side_px: int = 8,
) -> dict[str, float]:
    """max(0, tanh(s x (cos(crop, phrase) - cos(picture, phrase)) / 2)), in [0, 1): 0.0 for a box that shows no gain.

    s: the model's own logit scale, so this is 2 x sigmoid - 1 of the difference of its logits. `model`: a folder or name of
    a CLIP model (transformers' CLIPModel with its processor), loaded on first use, on the CPU. `extra_info["phrase"]`: what
    the box should show; `extra_info["images"]`: the pictures, of which `image` is meant; `extra_info["image_size"]`: width
    and height of the frame the box is in, default the picture's own pixels. A box that is inverted, outside, or under
    `min_side_px` pixels of the picture in either direction scores 0.0, and so does the whole picture. The ground truth is
    not looked at: give it a small weight beside rewards/box.py, because a model learns what pleases CLIP.

    Source: the semantic reward of MedGround-R1 (arXiv 2507.02994), whose released code compares the whole picture with the
    reference phrase and never the predicted box, which is the same number for every attempt.

    >>> NEEDS_IMAGES, compute_score("x", "<answer>top left</answer>", "", {"phrase": "x", "images": [{}]}, model="clip")
    (True, {'score': 0.0, 'answered': 0.0, 'crop': 0.0, 'whole': 0.0})
    >>> compute_score("x", "<answer>[1, 2, 9, 9]</answer>", "", {"phrase": "a mass"}, model="clip")
    Traceback (most recent call last):
    ...
    ValueError: extra_info["images"] has 0 pictures, expected one at 0. Run this reward in medrl, or add the paths to the row.
    """
    extra = extra_info or {}
    phrase, pictures = extra.get("phrase"), extra.get("images")
    pictures = list(pictures) if pictures is not None else []
    if not model:
        raise ValueError(
            "kwargs.model is missing; expected a folder or name of a CLIP model, such as openai/clip-vit-base-patch32."
        )
    if not isinstance(phrase, str) or not phrase.strip():
        raise ValueError(f'extra_info["phrase"] is {phrase!r}; expected what the box should show. Add it to the row.')
    if not 0 <= image < len(pictures):
        raise ValueError(
            f'extra_info["images"] has {len(pictures)} pictures, expected one at {image}. Run this reward in medrl, or add the '
            "paths to the row."
        )
    box = read_box(solution_str)
    if box is None:
        return {"score": 0.0, "answered": 0.0, "crop": 0.0, "whole": 0.0}
    picture = open_image(pictures[image])
    size = tuple(extra.get("image_size") or picture.size)
    inside = pixel_box(convert_box(box, "px_model", "px_original", picture.size, size), *picture.size)
    if inside is None or min(inside[2] - inside[0], inside[3] - inside[1]) < min_side_px:
        return {"score": 0.0, "answered": 1.0, "crop": 0.0, "whole": 0.0}
    crop, whole, scale = _fits(model, [picture.crop(inside), picture], phrase)
    return {"score": max(0.0, math.tanh(scale * (crop - whole) / 2)), "answered": 1.0, "crop": crop, "whole": whole}


def _fits(model: str, pictures: list[Image], phrase: str) -> tuple[float, float, float]:
    """Cosine of each of two pictures and the phrase, and the model's logit scale."""
    import torch

    clip, processor = _loaded(model)
    given = processor(text=[phrase], images=pictures, return_tensors="pt", padding=True, truncation=True)
    with torch.inference_mode():
        found = clip(**given)
        scale = clip.logit_scale.exp().item()
    crop, whole = (found.image_embeds @ found.text_embeds.T)[:, 0].tolist()  # (pictures, 1), both of unit length
    return crop, whole, scale


@lru_cache(maxsize=1)
def _loaded(model: str) -> tuple[Any, Any]:
    from transformers import CLIPModel, CLIPProcessor

    try:
        return CLIPModel.from_pretrained(model).eval(), CLIPProcessor.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise MedrlError(
            f"kwargs.model={model}: no CLIP model could be loaded ({str(error)[:200]}). Expected a folder or name with the weights "
            "and the processor of transformers' CLIPModel; fetch it before the run, where the workers are offline."
        ) from error
