"""A Sample is one question with its images and its verifiable answer: a typed view of verl's parquet row.

Nothing is added to verl's columns and nothing is lost: a file made here trains under plain verl and the other way
round. What medrl knows beyond them (kind, options, patient, size, demonstration) lives in `extra_info`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medrl.errors import MedrlError

IMAGE_PLACEHOLDER = "<image>"


@dataclass(frozen=True)
class Sample:
    """One question.

    `messages`: role/content dicts, the content holding one `<image>` per entry of `images`, in order.
    `images`: verl's `{"bytes": b"…"}` or `{"path": "…"}`. `ground_truth`: the answer as text (JSON for boxes).
    `extra_info` reaches the rewards unchanged; the keys medrl reads itself are the properties below.
    """

    id: str
    data_source: str
    messages: tuple[dict[str, str], ...]
    images: tuple[dict[str, Any], ...]
    ground_truth: str
    ability: str = "medical_vqa"
    extra_info: dict[str, Any] = field(default_factory=dict)
    agent_name: str | None = None

    @property
    def kind(self) -> str | None:
        """How the answer is read: choice, yes_no, count, box, …; None in a row that does not say."""
        return self.extra_info.get("kind")

    @property
    def options(self) -> dict[str, str] | None:
        """Letter to text of a choice question."""
        return self.extra_info.get("options")

    @property
    def demonstration(self) -> tuple[str, ...]:
        """Whole model replies to imitate in the cold start, one per turn; empty where there is none."""
        given = self.extra_info.get("demonstration") or ()
        return (given,) if isinstance(given, str) else tuple(given)

    @property
    def observations(self) -> tuple[dict[str, Any], ...]:
        """What was answered between the replies of the demonstration, where the data say so: text, and images as above."""
        return tuple(self.extra_info.get("observations") or ())

    def slice_of(self, by: str | None) -> str:
        """The group it is counted in by `data.slice_by`: a column such as data_source or kind, or a key of `extra_info`."""
        if by in (None, "data_source", "kind", "ability"):
            return str(getattr(self, by or "data_source"))
        return str(self.extra_info.get(str(by), "unknown"))

    @property
    def question(self) -> str:
        """The last user message without its image placeholders."""
        users = [message["content"] for message in self.messages if message["role"] == "user"]
        return users[-1].replace(IMAGE_PLACEHOLDER, "").strip() if users else ""


@dataclass(frozen=True)
class Refused:
    """A record an adapter could not turn into a Sample: where it stands and why it is no use."""

    place: str
    reason: str


def make_sample(
    *,
    id: str,
    data_source: str,
    question: str,
    images: Iterable[dict[str, Any]],
    ground_truth: str | int | Sequence[float],
    kind: str,
    split: str,
    **extra_info: Any,
) -> Sample:
    """A Sample from a plain question: one placeholder per image is put in front unless the question has its own."""
    pictures = tuple(images)
    content = question if IMAGE_PLACEHOLDER in question else IMAGE_PLACEHOLDER * len(pictures) + question
    answer = ground_truth if isinstance(ground_truth, str) else json.dumps(ground_truth)
    extra = {
        "id": id,
        "split": split,
        "kind": kind,
        **{key: value for key, value in extra_info.items() if value is not None},
    }
    return Sample(id, data_source, ({"role": "user", "content": content},), pictures, answer, extra_info=extra)


def check(sample: Sample) -> str | None:
    """Why a sample cannot be trained on, or None."""
    placeholders = sum(message["content"].count(IMAGE_PLACEHOLDER) for message in sample.messages)
    if placeholders != len(sample.images):
        return (
            f"the prompt has {placeholders} `{IMAGE_PLACEHOLDER}` but the row has {len(sample.images)} images; "
            "they must pair up one to one"
        )
    if not sample.ground_truth.strip():
        return "reward_model.ground_truth is empty; a verifiable answer is needed"
    if not sample.question and not sample.images:
        return "the prompt is empty"
    if sample.kind == "choice" and sample.ground_truth not in (sample.options or {}):
        return f"the answer {sample.ground_truth!r} is none of the options {sorted(sample.options or {})}"
    return None


def to_row(sample: Sample, index: int = 0) -> dict[str, Any]:
    """The sample as verl's parquet row."""
    row: dict[str, Any] = {
        "data_source": sample.data_source,
        "prompt": [dict(message) for message in sample.messages],
        "images": [dict(image) for image in sample.images],
        "ability": sample.ability,
        "reward_model": {"style": "rule", "ground_truth": sample.ground_truth},
        "extra_info": {"index": index, **sample.extra_info},
    }
    if sample.agent_name is not None:
        row["agent_name"] = sample.agent_name
    return row


def from_row(row: dict[str, Any], place: str) -> Sample | Refused:
    """A row of verl's format as a Sample, or why it cannot be one; `place` names the row, such as `train.parquet row 7`."""
    missing = [key for key in ("data_source", "prompt", "reward_model") if not row.get(key)]
    if missing:
        return Refused(place, f"no value in column {', '.join(missing)}; verl's row format is expected")
    if fault := _shape_fault(row):
        return Refused(place, f"{fault}; verl's row format is expected")
    extra = _without_nulls(row.get("extra_info") or {})
    truth = row["reward_model"].get("ground_truth")
    if truth is None:
        return Refused(place, "reward_model.ground_truth is missing; a verifiable answer is needed")
    images = []
    for position, image in enumerate(row.get("images") or ()):
        source = {key: image[key] for key in ("bytes", "path") if image.get(key) is not None}
        if not source:
            return Refused(place, f"images[{position}] has neither bytes nor path")
        images.append({"bytes": source["bytes"]} if "bytes" in source else source)
    sample = Sample(
        id=str(extra.get("id") or f"{row['data_source']}/{extra.get('index', place)}"),
        data_source=row["data_source"],
        messages=tuple({"role": message["role"], "content": message["content"]} for message in row["prompt"]),
        images=tuple(images),
        ground_truth=truth if isinstance(truth, str) else json.dumps(truth),
        ability=row.get("ability") or "medical_vqa",
        extra_info=extra,
        agent_name=row.get("agent_name"),
    )
    reason = check(sample)
    return Refused(place, reason) if reason else sample


def write_parquet(samples: Iterable[Sample], path: Path) -> int:
    """Write samples as one parquet file (aside, then renamed); returns how many. A bad sample raises MedrlError."""
    rows = []
    for index, sample in enumerate(samples):
        if reason := check(sample):
            raise MedrlError(f"{path}: row {index} ({sample.id}): {reason}.")
        rows.append(to_row(sample, index))
    if not rows:
        raise MedrlError(f"{path}: there is not one sample to write. Check the split name and the adapter's options.")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    # extra_info is a union over rows: a key some rows lack is null there, and dropped again on reading
    if any("agent_name" in row for row in rows):  # from_pylist takes the columns of the first row alone
        rows = [{"agent_name": None, **row} for row in rows]
    try:
        table = pa.Table.from_pylist(rows)
    except pa.ArrowException as error:  # one extra_info key with text here and a number there
        raise MedrlError(
            f"{path}: the rows do not form one table ({error}). Give each extra_info key one type."
        ) from None
    pq.write_table(table, aside)
    aside.replace(path)
    return len(rows)


def read_parquet(path: Path, batch_rows: int = 256) -> Iterator[Sample | Refused]:
    """Stream the rows of a parquet file in verl's format; memory is bounded by `batch_rows`."""
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise MedrlError(f"{path}: not a readable parquet file ({error}). Make one with `medrl data build`.") from None
    number = 0
    for batch in file.iter_batches(batch_size=batch_rows):
        for row in batch.to_pylist():
            yield from_row(row, f"{path} row {number}")
            number += 1


def _shape_fault(row: dict[str, Any]) -> str | None:
    """Which column is not of verl's shape, or None."""
    if not isinstance(row["prompt"], list) or not all(
        isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)
        for turn in row["prompt"]
    ):
        return "prompt is not a list of messages with role and content as text"
    if not isinstance(row["reward_model"], dict):
        return f"reward_model is a {type(row['reward_model']).__name__}, not a struct with ground_truth"
    images = row.get("images")
    if images is not None and not (isinstance(images, list) and all(isinstance(image, dict) for image in images)):
        return "images is not a list of structs with bytes or path"
    if not isinstance(row.get("extra_info") or {}, dict):
        return "extra_info is not a struct"
    return None


def _without_nulls(value: Any) -> Any:
    """Drop the null keys that parquet's union of structs adds; lists keep their length."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
