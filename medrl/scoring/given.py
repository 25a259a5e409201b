"""What a reward is given: verl's four arguments for one rollout, and what is known of its episode."""

import copy
from collections.abc import Collection
from typing import Any

from medrl.dialogue.tokens import Prompt
from medrl.rollout.types import Rollout
from medrl.scoring.signature import ARGUMENTS
from medrl.vision.open import resolve_inside
from medrl.vision.spacing import as_spacing, resized_spacing

PLAIN = frozenset((str, int, float, bool, bytes, type(None)))  # what cannot be changed


def arguments_of(rollout: Rollout, also: Collection[str] = ()) -> dict[str, Any]:
    """The four arguments of `compute_score`, and the keys of each dict that `compute_group_scores` gets.

    `also`: what `asked_for` says.
    """
    given = arguments(rollout.prompt, rollout.text, record_of(rollout), also)
    given["extra_info"]["response_tokens"] = sum(rollout.mask)  # the model's own, of all its turns
    return given


def arguments(
    prompt: Prompt, reply: str, record: dict[str, Any] | None = None, also: Collection[str] = ()
) -> dict[str, Any]:
    """The same for a reply that nobody sampled: it has no `response_tokens`."""
    # a copy, so that a reward that writes into extra_info cannot change the next one's (verl's manager shares it)
    extra_info = copied(prompt.sample.extra_info)
    if record is not None:
        extra_info["rollout"] = copied(record)
    if prompt.answer_size_px is not None:
        extra_info["image_size"] = list(prompt.answer_size_px)
        # a spacing belongs to a size: that of the picture as it is becomes that of the frame the model answers in
        spacing = as_spacing(extra_info.get("pixel_spacing_mm"))
        if spacing is not None and len(prompt.image_sizes_px) == 1:
            resized = resized_spacing(spacing, prompt.image_sizes_px[0], prompt.answer_size_px)
            extra_info["pixel_spacing_mm"] = list(resized)
    if "images" in also:
        extra_info["images"] = _references(prompt)
    if "question" in also:
        extra_info.setdefault("question", prompt.sample.question)
    return dict(zip(ARGUMENTS, (prompt.sample.data_source, reply, prompt.ground_truth, extra_info)))


def record_of(rollout: Rollout) -> dict[str, Any] | None:
    """What a reward may know of an episode with an environment, as `extra_info["rollout"]`; None without one.

    `actions`: what the environment confirmed, in order. Tool use is counted here and never in a reply's text. `asked`: per
    turn, whether it held an action that could be read, done or not. Boxes are in pixels of the pictures in `image_sizes`.
    """
    if not rollout.turns:
        return None
    return {
        "turns": [turn.text for turn in rollout.turns],
        "asked": [bool(turn.asked and turn.asked["name"]) for turn in rollout.turns],
        "image_sizes": [list(size) for size in rollout.prompt.image_sizes_px],
        "actions": [turn.confirmed for turn in rollout.turns if turn.confirmed is not None],
        "refused": sum(turn.fault is not None for turn in rollout.turns),
        "end_reason": rollout.end_reason,
    }


def _references(prompt: Prompt) -> list[dict[str, Any]]:
    """The question's pictures as {"bytes": …} or {"path": absolute}: cheap to send to another process, opened there."""
    return [
        {"path": str(resolve_inside(prompt.root, image["path"]))} if "path" in image else {"bytes": image["bytes"]}
        for image in prompt.sample.images
    ]


def copied(value: Any) -> Any:
    """A deep copy; of plain data, which is what rows and records are made of, several times as fast as copy.deepcopy.

    >>> row = {"options": {"A": "CT"}, "boxes": [[1, 2]]}
    >>> copied(row) == row, copied(row)["boxes"][0] is row["boxes"][0]
    (True, False)
    """
    kind = type(value)
    if kind is dict:
        return {key: copied(item) for key, item in value.items()}
    if kind is list:
        return [copied(item) for item in value]
    return value if kind in PLAIN else copy.deepcopy(value)
