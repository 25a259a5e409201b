"""From a sample to the exact token ids and picture patches a model is given, and back from ids to text.

Each picture becomes exactly as many image tokens as the model will make features of it; this is counted from the
picture's size, checked against the processor's output, and a prompt with pictures is never truncated.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from medrl.data.sample import IMAGE_PLACEHOLDER, Sample
from medrl.dialogue.prompts import PromptStyle
from medrl.errors import MedrlError
from medrl.vision.frames import convert_box
from medrl.vision.open import image_size, open_image
from medrl.vision.resize import ImageFamily, image_tokens, resized_size


@dataclass(frozen=True, eq=False)
class Prompt:
    """A sample as the model sees it.

    `token_ids`: the prompt up to where the reply starts. `pixel_values`: (patches, patch_dim) float32 or None;
    `image_grid_thw`: (images, 3) patches in time, height, width. `ground_truth` and `answer_size_px` are in the frame
    the model answers in (`frame`), so that a reward compares like with like.
    """

    sample: Sample
    text: str
    token_ids: tuple[int, ...]
    pixel_values: torch.Tensor | None
    image_grid_thw: torch.Tensor | None
    image_sizes_px: tuple[tuple[int, int], ...]
    model_sizes_px: tuple[tuple[int, int], ...]
    frame: str
    ground_truth: str
    answer_size_px: tuple[int, int] | None


class PromptBuilder:
    """Builds prompts for one model, one style and one picture budget."""

    def __init__(
        self,
        processor: Any,
        family: ImageFamily,
        style: PromptStyle,
        *,
        min_pixels: int,
        max_pixels: int,
        max_prompt_tokens: int,
        root: Path | None = None,
    ) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.family = family
        self.style = style
        self.min_pixels = min_pixels
        self.max_pixels = max_pixels
        self.max_prompt_tokens = max_prompt_tokens
        self.root = root
        self.image_token = processor.image_token
        # what a data file must not smuggle into the prompt: control tokens such as <|im_end|> or <|image_pad|>
        self.control_tokens = tuple(
            token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special
        )

    def count(self, sample: Sample) -> int:
        """Prompt tokens, image tokens included, from picture headers alone: nothing is decoded."""
        sizes = [image_size(image, self.root) for image in sample.images]
        return len(self._encode(sample, sizes)[1])

    def pictures(self, sample: Sample) -> list[Image]:
        """The sample's pictures, opened, in their original size."""
        return [open_image(image, self.root) for image in sample.images]

    def build(self, sample: Sample) -> Prompt:
        """The prompt, pictures opened and processed. Raises MedrlError naming the sample when it cannot be used."""
        pictures = self.pictures(sample)
        sizes = [picture.size for picture in pictures]
        model_sizes = [self._model_size(size) for size in sizes]
        text, token_ids = self._encode(sample, sizes)
        if len(token_ids) > self.max_prompt_tokens:
            raise MedrlError(
                f"{sample.id}: the prompt has {len(token_ids)} tokens but sampling.max_prompt_tokens={self.max_prompt_tokens}. "
                f"Its {len(sizes)} pictures take {sum(self._tokens(size) for size in sizes)} of them. "
                "Lower model.max_pixels or raise sampling.max_prompt_tokens; prompts with pictures are never cut."
            )
        pixel_values = grid = None
        if pictures:
            patches = self.processor.image_processor(
                images=pictures,
                size={"shortest_edge": self.min_pixels, "longest_edge": self.max_pixels},
                return_tensors="pt",
            )
            pixel_values, grid = patches["pixel_values"], patches["image_grid_thw"]
            self._check_features(sample, grid, sizes)
        truth, answer_size = self._truth(sample, sizes, model_sizes)
        return Prompt(
            sample=sample,
            text=text,
            token_ids=tuple(token_ids),
            pixel_values=pixel_values,
            image_grid_thw=grid,
            image_sizes_px=tuple(sizes),
            model_sizes_px=tuple(model_sizes),
            frame=self.family.box_frame,
            ground_truth=truth,
            answer_size_px=answer_size,
        )

    def encode_reply(self, reply: str) -> list[int]:
        """Token ids of a demonstration, with the end token: what the model should have produced."""
        return [*self.tokenizer(reply, add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id]

    def decode(self, token_ids: list[int]) -> str:
        """The reply as a reward sees it: control tokens dropped, nothing else cleaned up."""
        return self.tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _model_size(self, size_px: tuple[int, int]) -> tuple[int, int]:
        return resized_size(*size_px, self.family, min_pixels=self.min_pixels, max_pixels=self.max_pixels)

    def _tokens(self, size_px: tuple[int, int]) -> int:
        return image_tokens(*size_px, self.family, min_pixels=self.min_pixels, max_pixels=self.max_pixels)

    def _encode(self, sample: Sample, sizes: list[tuple[int, int]]) -> tuple[str, list[int]]:
        turns = self.style.messages(sample)
        for turn in turns:
            if smuggled := [token for token in self.control_tokens if token in turn["content"]]:
                raise MedrlError(
                    f"{sample.id}: the {turn['role']} message contains the model's control token {smuggled[0]!r}. "
                    "Remove it from the data; it would be read as a command, not as text."
                )
        structured = [{"role": turn["role"], "content": _parts(turn["content"])} for turn in turns]
        text = self.processor.apply_chat_template(structured, tokenize=False, add_generation_prompt=True)
        pieces = text.split(self.image_token)
        if len(pieces) != len(sizes) + 1:
            raise MedrlError(
                f"{sample.id}: the chat template made {len(pieces) - 1} image tokens for {len(sizes)} images. "
                "Use a model whose chat template supports images."
            )
        expanded = pieces[0]
        for size, piece in zip(sizes, pieces[1:]):
            expanded += self.image_token * self._tokens(size) + piece
        return text, self.tokenizer(expanded, add_special_tokens=False)["input_ids"]

    def _check_features(self, sample: Sample, grid: torch.Tensor, sizes: list[tuple[int, int]]) -> None:
        # verl#3469, TRL#3847: a mismatch found here costs one sentence, found in the forward pass it costs the run
        features = [int(thw.prod()) // self.family.merge_size**2 for thw in grid]
        expected = [self._tokens(size) for size in sizes]
        if features != expected:
            raise MedrlError(
                f"{sample.id}: the image processor makes {features} features but the resize rule gives {expected} tokens. "
                f"The processor does not belong to the family {self.family.model_type}."
            )

    def _truth(
        self, sample: Sample, sizes: list[tuple[int, int]], model_sizes: list[tuple[int, int]]
    ) -> tuple[str, tuple[int, int] | None]:
        """The answer in the model's frame and the size of that frame; other kinds than boxes pass through."""
        if not sizes:
            return sample.ground_truth, None
        frame_size = (1000, 1000) if self.family.box_frame == "norm1000" else model_sizes[0]
        if sample.kind not in ("box", "boxes") or len(sizes) != 1:
            return sample.ground_truth, frame_size

        def in_frame(box: list[float]) -> list[int]:
            moved = convert_box(box, "px_original", self.family.box_frame, sizes[0], model_sizes[0])
            return [round(value) for value in moved]

        truth = json.loads(sample.ground_truth)
        return json.dumps(in_frame(truth) if sample.kind == "box" else [in_frame(box) for box in truth]), frame_size


def _parts(content: str) -> list[dict[str, str]]:
    """Split a message at its `<image>` placeholders into the parts a chat template expects."""
    parts: list[dict[str, str]] = []
    for index, text in enumerate(content.split(IMAGE_PLACEHOLDER)):
        if index:
            parts.append({"type": "image"})
        if text:
            parts.append({"type": "text", "text": text})
    return parts
