"""Write `rollouts.html`: stored rollouts as conversations, with what was seen, done and earned, to find out why.

One file that loads nothing, like the report and beside it. A page of 64 rollouts stays below 5 MB whatever is in them:
texts and pictures share a fixed allowance, and what does not fit is shortened or shown smaller.
"""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from markupsafe import escape
from omegaconf import OmegaConf

from medrl.errors import MedrlError
from medrl.record.album import OWN_SIDE_PX, own_name, own_picture, small_jpeg
from medrl.record.conversation import Attempt, turns_of, view_attempt
from medrl.record.files import write_text
from medrl.record.gallery import shorten_prompt
from medrl.record.page import REPORT_PAGE, ROLLOUTS_PAGE, rendered
from medrl.record.pictures import BOX_KINDS, Outline, outline_px, outlines, size_at
from medrl.record.replies import RIGHT, Row, dict_of, number_of, shorten, text_of
from medrl.record.selection import Group, select
from medrl.vision.open import image_size, open_image

MOST = 64
PICTURE_BYTES, TEXT_BYTES = 2_300_000, 1_000_000  # for up to 64 rollouts; a picture takes a third more in the page
TEXT_LIMITS = (20_000, 8_000, 3_000, 1_200, 500, 200)  # characters kept of a turn: the largest with which all fits
TAG_BYTES = 60  # what marking up a tag of a reply may add
MAX_PICTURES, MAX_LESIONS = 6, 24
SPREAD = 1e-6  # rewards closer than this are alike


@dataclass(frozen=True)
class Written:
    """Where the page is and what is on it."""

    path: Path
    shown: int
    rollouts: int
    steps: tuple[int, ...]
    recorded_steps: int
    bytes: int


@dataclass(frozen=True)
class Own:
    """One of the sample's pictures, None where it was not kept; `width` and `height` of what is embedded, in pixels."""

    uri: str | None
    width: int
    height: int
    size: str
    truths: tuple[Outline, ...]


@dataclass(frozen=True)
class GroupView:
    """One question of one step with its attempts."""

    id: str
    step: int
    number: int
    kind: str
    data_source: str
    sample_id: str
    question: str
    options: tuple[tuple[str, str], ...]
    truth: str
    truth_option: str
    truth_for_model: str
    prompt: str
    prompt_tokens: int
    pictures: tuple[Own, ...]
    attempts: tuple[Attempt, ...]
    left_out: int
    mean: float | None
    flat: bool
    right: int
    names: tuple[str, ...]  # of the components, for the table


def write_rollouts_page(run_dir: Path, out: Path | None = None, most: int = MOST, step: int | None = None) -> Written:
    """Write `out`, or `run_dir/rollouts.html`; up to `most` rollouts, of one step or spread over the run.

    Raises MedrlError where there is no rollout to show.
    """
    run_dir = Path(run_dir)
    problems: list[str] = []
    chosen = select(run_dir, most, step, problems)
    beside = out is None or out.resolve().parent == run_dir.resolve()
    path = run_dir / ROLLOUTS_PAGE if out is None else out
    scale = max(1.0, chosen.shown / MOST)
    rows = [row for group in chosen.groups for row in group.rows]
    characters = _characters(rows, TEXT_BYTES * scale)
    pictures = _fitted(_wanted(run_dir, rows, chosen.pictures), PICTURE_BYTES * scale)
    weights = _weights(run_dir / "recipe.yaml")
    groups = [_view(group, weights, characters, pictures) for group in chosen.groups]
    attempts = [attempt for group in groups for attempt in group.attempts]
    page = rendered(
        "rollouts",
        {
            "name": run_dir.resolve().name,
            "groups": groups,
            "chosen": chosen,
            "right_from": RIGHT,
            "judged_by": sorted({_judged_by(group.rows) for group in chosen.groups}),
            "ends": [name for name, _ in Counter(attempt.end for attempt in attempts).most_common()],
            "acting": any(attempt.tool != ("none",) for attempt in attempts),
            "report": REPORT_PAGE if beside and (run_dir / REPORT_PAGE).is_file() else None,
            "problems": problems,
        },
    )
    try:
        write_text(path, page)
    except OSError as error:
        raise MedrlError(f"{path}: the page cannot be written ({error}). Name another file with --out.") from error
    size = path.stat().st_size
    return Written(path, chosen.shown, chosen.rollouts, chosen.steps, chosen.recorded_steps, size)


def _view(group: Group, weights: Mapping[str, float], characters: int, pictures: Mapping[str, str]) -> GroupView:
    row = group.rows[0]
    judged_by = _judged_by(group.rows)
    place = f"{group.step}-{group.number}"
    attempts = []
    taken: set[str] = set()
    for index, one in enumerate(group.rows):
        name = f"{place}-{max(int(number_of(one.get('attempt')) or 0), 0)}"
        name = f"{name}.{index}" if name in taken else name
        taken.add(name)
        attempts.append(view_attempt(one, name, judged_by, weights, characters, pictures.get))
    rewards = [attempt.reward for attempt in attempts if attempt.reward is not None]
    truth, for_model = text_of(row, "ground_truth"), text_of(row, "truth_in_model_frame")
    question = shorten(text_of(row, "question"), 2500)
    options = {str(key)[:20]: shorten(str(text), 300) for key, text in list(dict_of(row, "options").items())[:26]}
    names = dict.fromkeys(component.name for attempt in attempts for component in attempt.components)
    return GroupView(
        id=place,
        step=group.step,
        number=group.number,
        kind=shorten(text_of(row, "kind") or "other", 40),
        data_source=shorten(text_of(row, "data_source"), 80),
        sample_id=shorten(text_of(row, "sample_id"), 120),
        question=question,
        options=() if all(text in question for text in options.values()) else tuple(options.items()),
        truth=shorten(truth, 600),
        truth_option=options.get(truth, ""),
        truth_for_model=shorten(for_model, 600) if for_model != truth else "",
        prompt=shorten_prompt(text_of(row, "prompt"), min(characters, 2500)),
        prompt_tokens=max(int(number_of(row.get("prompt_tokens")) or 0), 0),
        pictures=tuple(_own(row, index, name, pictures) for index, name in enumerate(_own_names(row))),
        attempts=tuple(attempts),
        left_out=group.left_out,
        mean=fmean(rewards) if rewards else None,
        flat=len(attempts) > 1 and bool(rewards) and max(rewards) - min(rewards) < SPREAD,
        right=sum(attempt.verdict == "right" for attempt in attempts),
        names=tuple(names)[:6],
    )


def _own(row: Row, index: int, name: str, pictures: Mapping[str, str]) -> Own:
    uri = pictures.get(own_name(name))
    original, model = size_at(row.get("image_sizes_px"), index), size_at(row.get("model_sizes_px"), index)
    size = f"{original[0]} × {original[1]} px" if original else ""
    if original and model and original != model:
        size += f"; the model sees {model[0]} × {model[1]}"
    truths: list[Outline] = []
    if index == 0 and row.get("kind") in BOX_KINDS:
        truth = text_of(row, "truth_in_model_frame") or text_of(row, "ground_truth")
        truths += outlines(row, [("truth", truth)])
    elif index == 0 and original and isinstance(row.get("lesion_boxes"), list):
        lesions = [box for box in row["lesion_boxes"][:MAX_LESIONS] if isinstance(box, list)]
        truths += [outline for box in lesions if (outline := outline_px("truth", box, original))]
    width, height = original or (1, 1)
    return Own(uri, width, height, size, tuple(truths))


def _wanted(run_dir: Path, rows: Sequence[Row], kept: Mapping[str, bytes]) -> dict[str, bytes]:
    """The kept pictures that these rows name, by name; of older runs the samples' own out of `images/`."""
    found: dict[str, bytes] = {}
    for row in rows:
        for name in _own_names(row):
            own = own_name(name)
            data = found.get(own) or kept.get(own) or own_picture({"path": name}, run_dir)
            if data:
                found[own] = data
        shown = row.get("shown")
        for one in shown if isinstance(shown, list) else ():
            name = text_of(one, "name") if isinstance(one, dict) else ""
            if name in kept:
                found[name] = kept[name]
    return {name: data for name, data in found.items() if _is_picture(data)}


def _fitted(pictures: Mapping[str, bytes], most_bytes: float) -> dict[str, str]:
    """Data URIs. Pictures smaller than an equal share of the bytes are kept as they are, the others share the rest."""
    left, share = most_bytes, most_bytes
    for place, size in enumerate(sorted(map(len, pictures.values()))):
        share = left / (len(pictures) - place)
        if size > share:
            break
        left -= size
    uris = {}
    for name, data in pictures.items():
        if len(data) > share:
            data = small_jpeg(open_image({"bytes": data}), OWN_SIDE_PX, int(share))
        uris[name] = f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"
    return uris


def _characters(rows: Sequence[Row], most_bytes: float) -> int:
    """How much of each text is kept, so that all texts together fit, escaped."""
    texts = [
        text for row in rows for turn in turns_of(row) for text in (text_of(turn, "text"), text_of(turn, "observation"))
    ]
    sizes = [
        (len(text), len(str(escape(text)).encode("utf-8", "backslashreplace")) + TAG_BYTES * text.count("<"))
        for text in texts
        if text
    ]
    for limit in TEXT_LIMITS:
        if sum(size * min(length, limit) / length for length, size in sizes) <= most_bytes:
            break
    return limit


def _is_picture(data: bytes) -> bool:
    try:
        image_size({"bytes": data})
        open_image({"bytes": data})
    except MedrlError:
        return False
    return True


def _own_names(row: Row) -> list[str]:
    names = row.get("images")
    return [name for name in names[:MAX_PICTURES] if isinstance(name, str)] if isinstance(names, list) else []


def _judged_by(rows: Sequence[Row]) -> str:
    return "answer/score" if any("answer/score" in dict_of(row, "scores") for row in rows) else "reward"


def _weights(recipe: Path) -> dict[str, float]:
    """The weights of the run's rewards; empty where the recipe cannot be read."""
    try:
        given: Any = OmegaConf.to_container(OmegaConf.load(recipe))
        rewards = given["rewards"]
        return {str(name): float(reward.get("weight", 1.0)) for name, reward in rewards.items()}
    except Exception:  # the boundary to a file anyone may have written: without weights the page shows scores alone
        return {}
