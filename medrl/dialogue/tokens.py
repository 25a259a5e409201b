"""From a sample to the exact token ids and picture patches a model is given, and back from ids to text.

Each picture becomes exactly as many image tokens as the model will make features of it; this is counted from the
picture's size, checked against the processor's output, and a prompt with pictures is never truncated.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from medrl.data.sample import IMAGE_PLACEHOLDER, Sample
from medrl.dialogue.control import control_tokens, forbidden_in, plain_pieces
from medrl.dialogue.ends import TextEnd, text_end
from medrl.dialogue.prompts import PromptStyle
from medrl.errors import MedrlError
from medrl.vision.frames import convert_box, convert_point
from medrl.vision.open import image_size, open_image
from medrl.vision.resize import ImageFamily, image_tokens, resized_size, tile_limits

PLACES = ("box", "boxes", "points", "mask")  # kinds of answers given in pixels
_BOX = re.compile(r"\{box ((?:-?[0-9.]+ ?){4})\}")


@dataclass(frozen=True, eq=False)
class Patches:
    """Pictures as the vision tower takes them. `values`: (patches, patch_dim) float32, or (tiles, 3, side, side);
    `grid_thw`: (pictures, 3) patches in time, height, width, or tiles and the patches of one in height and width;
    `pictures`: the same as images, for a server that makes its own features."""

    values: torch.Tensor
    grid_thw: torch.Tensor
    pictures: tuple[Image, ...]

    def followed_by(self, more: "Patches") -> "Patches":
        return Patches(
            torch.cat([self.values, more.values]),
            torch.cat([self.grid_thw, more.grid_thw]),
            (*self.pictures, *more.pictures),
        )


@dataclass(frozen=True, eq=False)
class Prompt:
    """A sample as the model sees it.

    `token_ids`: the prompt up to where the reply starts. `pixel_values` and `image_grid_thw`: `values` and `grid_thw` of
    Patches, None without a picture. `ground_truth` and `answer_size_px` are in the frame
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
    added_pictures: tuple[Image, ...] = ()  # those an environment has shown since
    root: Path | None = None  # what the paths in `sample.images` lie below

    def with_pictures(self, added: Patches) -> "Prompt":
        """The same tokens with these pictures behind its own."""
        before = self.pixel_values is not None and self.image_grid_thw is not None
        return replace(
            self,
            pixel_values=torch.cat([self.pixel_values, added.values]) if before else added.values,
            image_grid_thw=torch.cat([self.image_grid_thw, added.grid_thw]) if before else added.grid_thw,
            added_pictures=(*self.added_pictures, *added.pictures),
        )

    def continued(self, token_ids: Sequence[int], added: Patches | None) -> "Prompt":
        """What the model is given for its next turn: all that was said so far, with all pictures so far."""
        whole = self.with_pictures(added) if added is not None else self
        return replace(whole, token_ids=(*self.token_ids, *token_ids))


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
        self._opened: tuple[Sample | None, list[Image]] = (None, [])
        self.image_token_id = self.tokenizer.convert_tokens_to_ids(self.image_token)
        # Qwen's templates write what stands around a picture themselves, InternVL's leave it to the processor
        self.before_image: str = processor.start_image_token if family.tile_px else ""
        self.after_image: str = processor.end_image_token if family.tile_px else ""
        self.control_ids = control_tokens(self.tokenizer)
        self._ends: dict[str, TextEnd] = {}

    def count(self, sample: Sample) -> int:
        """Prompt tokens, image tokens included, from picture headers alone: nothing is decoded."""
        sizes = [image_size(image, self.root) for image in sample.images]
        return len(self._encode(sample, sizes)[1])

    def pictures(self, sample: Sample) -> list[Image]:
        """The sample's pictures, opened, in their original size. The last sample's are kept: its attempts ask in turn."""
        kept, pictures = self._opened
        if kept is not sample:
            pictures = [open_image(image, self.root) for image in sample.images]
            self._opened = (sample, pictures)
        return list(pictures)

    def build(self, sample: Sample) -> Prompt:
        """The prompt, pictures opened and processed. Raises MedrlError naming the sample when it cannot be used."""
        pictures = self.pictures(sample)
        sizes = [picture.size for picture in pictures]
        model_sizes = [self.model_size(size) for size in sizes]
        text, token_ids = self._encode(sample, sizes)
        if len(token_ids) > self.max_prompt_tokens:
            raise MedrlError(
                f"{sample.id}: the prompt has {len(token_ids)} tokens but sampling.max_prompt_tokens={self.max_prompt_tokens}. "
                f"Its {len(sizes)} pictures take {sum(self._tokens(size) for size in sizes)} of them. "
                "Lower model.max_pixels or raise sampling.max_prompt_tokens; prompts with pictures are never cut."
            )
        patches = self.patches(pictures, sample.id) if pictures else None
        truth, answer_size = self._truth(sample, sizes, model_sizes)
        return Prompt(
            sample=sample,
            text=text,
            token_ids=tuple(token_ids),
            pixel_values=patches.values if patches else None,
            image_grid_thw=patches.grid_thw if patches else None,
            image_sizes_px=tuple(sizes),
            model_sizes_px=tuple(model_sizes),
            frame=self.family.box_frame,
            ground_truth=truth,
            answer_size_px=answer_size,
            root=self.root,
        )

    def patches(self, pictures: Sequence[Image], whose: str) -> Patches:
        """Pictures as the vision tower takes them; as many features as `_tokens` counts, or MedrlError."""
        values, grid = (self._tiles if self.family.tile_px else self._whole)(list(pictures))
        self._check_features(whose, grid, [picture.size for picture in pictures])
        return Patches(values, grid, tuple(pictures))

    def _whole(self, pictures: list[Image]) -> tuple[torch.Tensor, torch.Tensor]:
        size = {"shortest_edge": self.min_pixels, "longest_edge": self.max_pixels}
        made = self.processor.image_processor(images=pictures, size=size, return_tensors="pt")
        return made["pixel_values"], made["image_grid_thw"]

    def _tiles(self, pictures: list[Image]) -> tuple[torch.Tensor, torch.Tensor]:
        fewest, most = tile_limits(self.family.tile_px or 0, self.min_pixels, self.max_pixels)
        made = self.processor.image_processor(
            images=pictures, crop_to_patches=True, min_patches=fewest, max_patches=most, return_tensors="pt"
        )
        values = made["pixel_values"]  # (tiles, 3, side, side)
        patches = [size // self.family.patch_size for size in values.shape[-2:]]
        return values, torch.tensor([[int(tiles), *patches] for tiles in made["num_patches"]])

    def between_turns(self, reply_ids: Sequence[int], text: str, sizes: Sequence[tuple[int, int]]) -> list[int]:
        """Token ids between a reply and the next: the end of the assistant's turn, pictures and text as a user turn, the
        head of the next reply. Taken out of the chat template, so the whole reads as the template would have made it.

        Control tokens that the text spells, a page found on the web for example, reach the model as plain text.
        """
        pieces = plain_pieces(text, self.control_ids.values())
        held = (
            text if len(pieces) == 1 else "MEDRLTEXT"
        )  # its place; as long as it spells none, the template has the text
        rest = self._rest_of_template(len(sizes), held)
        if reply_ids and reply_ids[-1] == self.tokenizer.eos_token_id:  # said by the model itself
            rest = rest.removeprefix(self.tokenizer.eos_token)
        written = self._with_image_tokens(rest, sizes, "observation")
        if len(pieces) > 1:
            before, after = written.split(held)
            pieces = [before + pieces[0], *pieces[1:-1], pieces[-1] + after]
        else:
            pieces = [written]
        return [index for piece in pieces for index in self._ids(piece)]

    def forbidden_in(self, reply: Sequence[int], ended: bool) -> str | None:
        """The first control token in a reply that does not end it; None where there is none."""
        place = forbidden_in(reply, self.control_ids, ended)
        return None if place is None else self.control_ids[reply[place]]

    def action_end(self, text: str) -> TextEnd:
        """The end of an action, of several tokens."""
        if text not in self._ends:
            self._ends[text] = text_end(self.tokenizer, self.decode, text)
        return self._ends[text]

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _rest_of_template(self, images: int, text: str) -> str:
        mark = "MEDRLREPLY"
        turns = [
            {"role": "user", "content": [{"type": "text", "text": "."}]},
            {"role": "assistant", "content": [{"type": "text", "text": mark}]},
            {"role": "user", "content": [{"type": "image"}] * images + [{"type": "text", "text": text}]},
        ]
        whole = self.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return whole.split(mark, 1)[1]

    def demonstration(self, prompt: Prompt) -> list[str]:
        """The replies to imitate, boxes written `{box x1 y1 x2 y2}` (pixels of the first picture) in the model's frame."""

        def in_frame(found: re.Match[str]) -> str:
            original, model = prompt.image_sizes_px[0], prompt.model_sizes_px[0]
            box = [float(number) for number in found[1].split()]
            moved = convert_box(box, "px_original", self.family.box_frame, original, model)
            return json.dumps([round(number) for number in moved])

        replies = self.style.demonstration(prompt.sample, prompt.ground_truth)
        return [_BOX.sub(in_frame, reply) for reply in replies]

    def encode_reply(self, reply: str) -> list[int]:
        """Token ids of a demonstration, with the end token: what the model should have produced."""
        return [*self._ids(reply), self.tokenizer.eos_token_id]

    def decode(self, token_ids: list[int]) -> str:
        """The reply as a reward sees it: control tokens dropped, nothing else cleaned up."""
        return self.tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def model_size(self, size_px: tuple[int, int]) -> tuple[int, int]:
        return resized_size(*size_px, self.family, min_pixels=self.min_pixels, max_pixels=self.max_pixels)

    def _tokens(self, size_px: tuple[int, int]) -> int:
        return image_tokens(*size_px, self.family, min_pixels=self.min_pixels, max_pixels=self.max_pixels)

    def _encode(self, sample: Sample, sizes: list[tuple[int, int]]) -> tuple[str, list[int]]:
        turns = self.style.messages(sample)
        for turn in turns:
            if smuggled := [token for token in self.control_ids.values() if token in turn["content"]]:
                raise MedrlError(
                    f"{sample.id}: the {turn['role']} message contains the model's control token {smuggled[0]!r}. "
                    "Remove it from the data; it would be read as a command, not as text."
                )
        structured = [{"role": turn["role"], "content": _parts(turn["content"])} for turn in turns]
        text = self.processor.apply_chat_template(structured, tokenize=False, add_generation_prompt=True)
        expanded = self._with_image_tokens(text, sizes, sample.id)
        return text, self._ids(expanded)

    def _with_image_tokens(self, text: str, sizes: Sequence[tuple[int, int]], whose: str) -> str:
        """A rendered template with each image token written as often as its picture has features."""
        pieces = text.split(self.image_token)
        if len(pieces) != len(sizes) + 1:
            raise MedrlError(
                f"{whose}: the chat template made {len(pieces) - 1} image tokens for {len(sizes)} images. "
                "Use a model whose chat template supports images."
            )
        expanded = pieces[0]
        for size, piece in zip(sizes, pieces[1:]):
            expanded += self.before_image + self.image_token * self._tokens(size) + self.after_image + piece
        return expanded

    def features(self, grid_thw: torch.Tensor | None) -> list[int]:
        """How many features the model makes of each picture."""
        return [] if grid_thw is None else [int(thw.prod()) // self.family.merge_size**2 for thw in grid_thw]

    def _check_features(self, whose: str, grid: torch.Tensor, sizes: list[tuple[int, int]]) -> None:
        # verl#3469, TRL#3847: a mismatch found here costs one sentence, found in the forward pass it costs the run
        features = self.features(grid)
        expected = [self._tokens(size) for size in sizes]
        if features != expected:
            raise MedrlError(
                f"{whose}: the image processor makes {features} features but the resize rule gives {expected} tokens. "
                f"The processor does not belong to the family {self.family.model_type}."
            )

    def _truth(
        self, sample: Sample, sizes: list[tuple[int, int]], model_sizes: list[tuple[int, int]]
    ) -> tuple[str, tuple[int, int] | None]:
        """The answer in the model's frame and the size of that frame; other kinds than places pass through."""
        if not sizes:
            return sample.ground_truth, None
        frame_size = (1000, 1000) if self.family.box_frame == "norm1000" else model_sizes[0]
        truth = json.loads(sample.ground_truth) if sample.kind in PLACES and len(sizes) == 1 else None
        if not isinstance(
            truth, list
        ):  # another kind of answer, or a mask as run lengths, which say their size themselves
            return sample.ground_truth, frame_size

        def in_frame(place: list[Any]) -> list[Any]:
            if place and isinstance(place[0], list):
                return [in_frame(inner) for inner in place]
            ends = zip(place[::2], place[1::2])  # a point, the corners of a box or of a polygon: x, y, x, y, …
            frame = self.family.box_frame
            return [
                round(at) for end in ends for at in convert_point(end, "px_original", frame, sizes[0], model_sizes[0])
            ]

        return json.dumps(in_frame(truth)), frame_size


def _parts(content: str) -> list[dict[str, str]]:
    """Split a message at its `<image>` placeholders into the parts a chat template expects."""
    parts: list[dict[str, str]] = []
    for index, text in enumerate(content.split(IMAGE_PLACEHOLDER)):
        if index:
            parts.append({"type": "image"})
        if text:
            parts.append({"type": "text", "text": text})
    return parts
