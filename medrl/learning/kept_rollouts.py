"""Rejection sampling: the correct rollouts of a run as demonstrations, in exactly the token ids that were sampled.

Pictures are not stored with rollouts: the samples come from the recipe's data and the environment shows its pictures again,
and a rollout whose ids do not come out the same is an error. What was cut off, refused by the environment, or said twice
is not kept.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.data.sample import Sample
from medrl.dialogue.tokens import PromptBuilder
from medrl.errors import MedrlError
from medrl.learning.demonstrations import Demonstrated
from medrl.record.run import image_names

WHOLE = ("eos", "done")  # how a rollout ends that was not cut


@dataclass(frozen=True)
class Kept:
    """`items` to imitate, `left_out`: reason to how often, and a hash of what is kept."""

    items: list[Demonstrated]
    left_out: dict[str, int]
    sha256: str


def read_keep(given: str | None, rewards: Sequence[str]) -> tuple[str, float]:
    """(reward, least score) of `--keep answer=1.0`; without it a score of 1 of the reward named `answer`.

    >>> read_keep("box=0.5", ["box", "format"]), read_keep(None, ["answer"])
    (('box', 0.5), ('answer', 1.0))
    """
    name, _, least = (given or "answer=1.0").partition("=")
    try:
        threshold = float(least or "1.0")
    except ValueError:
        raise MedrlError(
            f"--keep {given}: {least!r} is not a number. Expected REWARD=LEAST, such as answer=1.0."
        ) from None
    if name not in rewards:
        raise MedrlError(
            f"--keep {name}={least}: the recipe has no reward {name!r}; it has {', '.join(rewards)}. "
            "Say which one tells a correct rollout, such as --keep answer=1.0."
        )
    return name, threshold


def kept_rollouts(run: Path, samples: Sequence[Sample], builder: PromptBuilder, reward: str, at_least: float) -> Kept:
    """Rollouts of `run` whose `reward` scores `at_least`. MedrlError where the run has none, or not of these samples."""
    by_id = {sample.id: sample for sample in samples}
    texts: dict[str, str] = {}
    items: list[Demonstrated] = []
    left_out: Counter[str] = Counter()
    seen: set[tuple[str, tuple[int, ...]]] = set()
    digest = hashlib.sha256()
    for place, row in _rows(run):
        score = row["scores"].get(f"{reward}/score")
        if score is None or score < at_least:
            left_out["no score" if score is None else f"{reward} below {at_least:g}"] += 1
            continue
        if reason := _unfit(row, seen):
            left_out[reason] += 1
            continue
        if "token_ids" not in row:
            raise MedrlError(f"{place}: no token_ids. The run was made by an older medrl; sample it again.")
        sample = by_id.get(row["sample_id"])
        if sample is None:
            raise MedrlError(
                f"{place}: its sample {row['sample_id']} is not in data.train of this recipe. Use the recipe the run was made "
                f"with ({run / 'recipe.yaml'}), or one with the same data."
            )
        if sample.id not in texts:
            texts[sample.id] = builder.build(sample).text
        if row["prompt"] != texts[sample.id] or row["images"] != image_names(sample):
            what = "prompt" if row["prompt"] != texts[sample.id] else "pictures"
            raise MedrlError(
                f"{place}: the rollout answers another {what} of {sample.id} than this recipe makes. Use the prompt.style, env, "
                f"model and data of {run / 'recipe.yaml'}."
            )
        items.append(Demonstrated(sample, _said(place, row), row["token_ids"]))
        digest.update(json.dumps([sample.id, row["token_ids"]]).encode())
    if not items:
        told = "; ".join(f"{reason}: {count}" for reason, count in left_out.most_common())
        raise MedrlError(f"{run}: not one rollout to keep ({told or 'no rollouts/step_*.jsonl there'}). Lower --keep.")
    return Kept(items, dict(left_out), digest.hexdigest())


def _rows(run: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((run / "rollouts").glob("step_*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            yield f"{path} line {number}", json.loads(line)


def _unfit(row: dict[str, Any], seen: set[tuple[str, tuple[int, ...]]]) -> str | None:
    """Why a correct rollout is no example to imitate, or None."""
    if row["end_reason"] not in WHOLE:
        return f"ended by {row['end_reason']}"
    if any(turn["fault"] for turn in row.get("turns", ())):
        return "an action was refused"
    key = (row["sample_id"], tuple(row.get("token_ids", ())))
    if key in seen and key[1]:
        return "said before"
    seen.add(key)
    return None


def _said(place: str, row: dict[str, Any]) -> tuple[list[int], ...]:
    """The model's own ids, reply by reply."""
    ids, said, start = row["token_ids"], [], 0
    for own, heard in [turn["tokens"] for turn in row.get("turns", ())] or [(len(ids), 0)]:
        said.append(ids[start : start + own])
        start += own + heard
    if start != len(ids):
        raise MedrlError(f"{place}: its turns count {start} tokens, token_ids has {len(ids)}. The file is damaged.")
    return tuple(said)
