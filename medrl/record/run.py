"""A run is one directory: recipe, card, journal, rollouts, evaluations, checkpoints, summary, report.

Opening it decides between a fresh start and a resume: a resume needs the same recipe, cuts the journal back to the
checkpoint and goes on, so that an interrupted run leaves the same files as an unbroken one.
"""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import medrl
from medrl.data.sample import Sample
from medrl.errors import MedrlError
from medrl.recipe import Recipe, to_yaml
from medrl.record import album
from medrl.record.alarms import raised_alarms
from medrl.record.checkpoint import latest_checkpoint
from medrl.record.files import write_json, write_text
from medrl.record.reading import read_lines
from medrl.record.resume import binding_changes
from medrl.rollout.types import Rollout
from medrl.vision.open import open_image

UNCOMPARED = ("command", "git_commit")
SHOWN_PX = 512  # long side of a picture kept for the report
PACKAGES = ("torch", "transformers", "peft", "numpy", "pillow", "tokenizers", "verl", "vllm", "ray")


class Run:
    """An opened run directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "metrics.jsonl"
        self.checkpoints = folder / "checkpoints"

    @classmethod
    def open(cls, recipe: Recipe, *, fresh: bool = False, command: str = "train") -> "Run":
        """Create or reopen the recipe's run directory. `fresh` moves an existing one aside instead of resuming it.

        Raises MedrlError, listing what changed, when the directory holds a run of another recipe.
        """
        folder = recipe.run_dir
        run = cls(folder)
        if fresh and folder.exists():
            number = 1
            while (aside := folder.with_name(f"{folder.name}.old{number}")).exists():
                number += 1
            folder.rename(aside)
        stored = folder / "recipe.yaml"
        if stored.is_file():
            if changes := binding_changes(stored, recipe):
                listed = "\n".join(f"  {line}" for line in changes)
                raise MedrlError(
                    f"{folder} holds a run of another recipe; resuming would mix the two. Changed:\n{listed}\n"
                    "Give the new run another name (name=…), undo the change, or start over with --fresh "
                    "(the old run is kept aside)."
                )
            made_by = run.card().get("command", f"medrl {command}").split()[1]
            if made_by != command:
                raise MedrlError(
                    f"{folder} holds a run of `medrl {made_by}`, not of `medrl {command}`. Give the new run another name (name=…)."
                )
        elif folder.exists() and any(folder.iterdir()):
            raise MedrlError(
                f"{folder} exists and is not a run of medrl. Give the run another name (name=…) or runs_dir=…."
            )
        folder.mkdir(parents=True, exist_ok=True)
        write_text(stored, to_yaml(recipe))
        return run

    def card(self) -> dict[str, Any]:
        """card.json as it stands; empty before it is written."""
        path = self.folder / "card.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def cut_journal(self, step: int) -> None:
        """Drop the cold-start entries after `step`: a resume makes them again."""
        entries = self.journal.read_text(encoding="utf-8").splitlines() if self.journal.exists() else []
        kept = []
        for line in entries:
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except ValueError:  # the line that was being written when the run was killed
                continue
        write_text(self.journal, "".join(f"{line}\n" for line in kept))

    def rewind(self) -> Path | None:
        """Find the newest whole checkpoint and cut the journal back to it; None, and an empty journal, when there is none."""
        found = latest_checkpoint(self.checkpoints)
        step = int(found.name.removeprefix("global_step_")) if found else -1
        kept = []
        for line in self.journal.read_text(encoding="utf-8").splitlines() if self.journal.exists() else []:
            try:
                entry = json.loads(line)
            except ValueError:  # the line that was being written when the run was killed
                continue
            if found and (entry["stage"] == "sft" or entry["step"] <= step):
                kept.append(line)
        write_text(self.journal, "".join(f"{line}\n" for line in kept))
        for kind in ("rollouts", "eval"):
            for path in (self.folder / kind).glob("step_*.*"):
                if int(path.name.split(".")[0].removeprefix("step_")) > step:
                    path.unlink()
        return found

    def log(self, entry: dict[str, Any]) -> None:
        """Append one object to metrics.jsonl, durable when this returns."""
        with self.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def write_rollouts(self, step: int, rollouts: list[Rollout], root: Path | None = None) -> None:
        """One line per rollout in rollouts/step_<step>.jsonl, and the pictures of the first prompts beside it.

        `root`: below which the samples' picture files lie. Of other prompts' rollouts only the text is kept.
        """
        folder = self.folder / "rollouts"
        folder.mkdir(exist_ok=True)
        shown = [rollout.prompt.sample for rollout in rollouts]
        kept = list({id(sample): sample for sample in shown}.values())[: album.KEPT_PROMPTS]
        pictures: dict[str, bytes] = {}
        for sample in kept:
            for source, name in zip(sample.images, map(album.own_name, image_names(sample))):
                if name not in pictures and (data := album.own_picture(source, root)):
                    pictures[name] = data
        lines = []
        for rollout in rollouts:
            row = rollout_row(rollout, step)
            if any(rollout.prompt.sample is sample for sample in kept) and (made := album.thumbnails(rollout)):
                row["shown"] = [{"name": album.name_of(one.jpeg), "size_px": list(one.size_px)} for one in made]
                pictures |= {album.name_of(one.jpeg): one.jpeg for one in made}
            lines.append(json.dumps(row, ensure_ascii=False))
        album.write_album(folder / f"step_{step:06d}.zip", pictures)
        write_text(folder / f"step_{step:06d}.jsonl", "".join(f"{line}\n" for line in lines))
        album.thin(folder, step, self.folder / "eval")

    def write_eval(self, step: int, summary: dict[str, Any], rollouts: list[Rollout]) -> None:
        """The held-out result and its replies in eval/step_<step>.json."""
        folder = self.folder / "eval"
        folder.mkdir(exist_ok=True)
        rows = [rollout_row(rollout, step) for rollout in rollouts]
        write_json(folder / f"step_{step:06d}.json", {"step": step, "summary": summary, "rows": rows}, indent=None)

    def read_eval(self, step: int) -> dict[str, Any] | None:
        """The summary written by `write_eval`, or None."""
        path = self.folder / "eval" / f"step_{step:06d}.json"
        return json.loads(path.read_text(encoding="utf-8"))["summary"] if path.is_file() else None

    def last_eval(self) -> dict[str, Any] | None:
        """The summary of the newest evaluation, or None."""
        files = sorted((self.folder / "eval").glob("step_*.json"))
        return self.read_eval(int(files[-1].stem.removeprefix("step_"))) if files else None

    def keep_images(self, samples: list[Sample], root: Path | None) -> None:
        """Copy these samples' pictures into images/, for the report; each distinct picture once."""
        folder = self.folder / "images"
        folder.mkdir(exist_ok=True)
        for sample in samples:
            for source, name in zip(sample.images, image_names(sample)):
                if not (self.folder / name).exists():
                    try:
                        picture = open_image(source, root)  # decoded, so no patient's name in a header comes along
                    except MedrlError:  # lost since it was read: the page says `no picture kept`, the run goes on
                        continue
                    picture.thumbnail((SHOWN_PX, SHOWN_PX))
                    picture.save(self.folder / name)

    def write_card(self, facts: dict[str, Any]) -> list[str]:
        """card.json: versions, commit and what else identifies the experiment; returns what a resume finds changed.

        Another data set is refused with a MedrlError. A mended reward or template is allowed, and stays on the card.
        """
        path = self.folder / "card.json"
        card = {"medrl": medrl.__version__, "git_commit": _git_commit(), "python": sys.version.split()[0], **facts}
        card["packages"] = {name: found for name in PACKAGES if (found := _version(name))}
        before = self.card() or card
        if before["data_sha256"] != card["data_sha256"]:
            raise MedrlError(
                f"{self.folder}: the data differs from what the run began with (card.json, data_sha256), so its steps would see "
                "other samples. Bring the old data back, or start over with --fresh."
            )
        changed = [key for key in card if key not in UNCOMPARED and before.get(key) != card[key]]
        card["changed_since_start"] = sorted({*before.get("changed_since_start", []), *changed})
        write_json(path, card)
        return changed

    def write_summary(
        self,
        *,
        status: str,
        reason: str | None,
        engine: str,
        steps: int,
        seconds: float,
        val_first: dict[str, Any] | None,
        val_last: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """summary.json, whatever happened; returned as well."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kB on Linux
        summary = {
            "status": status,
            "reason": reason,
            "engine": engine,
            "steps": steps,
            "seconds": round(seconds, 1),
            "peak_rss_mb": round(peak),
            "val_first": val_first,
            "val_last": val_last,
            "alarms": [asdict(alarm) for alarm in raised_alarms(read_lines(self.journal, []))],
        }
        write_json(self.folder / "summary.json", summary)
        return summary


def rollout_row(rollout: Rollout, step: int) -> dict[str, Any]:
    """A rollout as plain JSON: everything but tensors."""
    prompt, sample = rollout.prompt, rollout.prompt.sample
    return {
        "step": step,
        "sample_id": sample.id,
        "attempt": rollout.attempt,
        "data_source": sample.data_source,
        "kind": sample.kind,
        "question": sample.question,
        "options": sample.options,
        "ground_truth": sample.ground_truth,
        "truth_in_model_frame": prompt.ground_truth,
        "images": image_names(sample),
        "image_sizes_px": [list(size) for size in prompt.image_sizes_px],
        "model_sizes_px": [list(size) for size in prompt.model_sizes_px],
        "frame": prompt.frame,
        **({"lesion_boxes": boxes} if (boxes := sample.extra_info.get("lesion_boxes")) else {}),
        "prompt": prompt.text,
        "prompt_tokens": len(prompt.token_ids),
        "reply": rollout.text,
        **({"turns": [asdict(turn) for turn in rollout.turns]} if rollout.turns else {}),
        "tokens": len(rollout.token_ids),
        "token_ids": rollout.token_ids,  # never made again from text: `medrl sft --from-rollouts` trains on these
        "end_reason": rollout.end_reason,
        "reward": rollout.reward,
        "scores": rollout.scores,
        **({"turn_scores": rollout.turn_scores} if rollout.turn_scores else {}),
        "missing": rollout.missing,
        **({"entropy": rollout.entropy} if rollout.entropy is not None else {}),
        **({"filtered": True} if rollout.filtered else {}),
        "advantage": rollout.advantage,
    }


def image_names(sample: Sample) -> list[str]:
    """Where the run keeps a sample's pictures: named by content, or by path where the picture is a file."""
    names = []
    for source in sample.images:
        key = source["bytes"] if "bytes" in source else str(source["path"]).encode()
        names.append(f"images/{hashlib.sha256(key).hexdigest()[:16]}.png")
    return names


def _git_commit() -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "-C", str(Path(medrl.__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return found.stdout.strip() or None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
