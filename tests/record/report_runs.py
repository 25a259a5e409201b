"""A small, realistic run directory for the tests of the report, a hostile twin of it, and a reader of the page."""

import hashlib
import json
import math
import random
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from medrl.data.adapters import phantom
from medrl.data.sample import Sample
from medrl.record.report import write_report

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=\"window.hacked=1\"><svg onload='window.hacked=1'>\x00\u202e"
BEFORE = {
    "reward": 0.42,
    "low": 0.39,
    "high": 0.45,
    "n": 512,
    "parse_rate": 0.61,
    "metrics": {"reward/answer/score": 0.4},
}
AFTER = {
    "reward": 0.78,
    "low": 0.75,
    "high": 0.81,
    "n": 512,
    "parse_rate": 0.99,
    "metrics": {"reward/answer/score": 0.77},
}


def make_run(folder: Path, *, steps: int = 40, questions: int = 40, group_size: int = 8, prompts: int = 8) -> Path:
    """A finished run over the phantom set: three kinds of question, two evaluations, rollouts of the last step."""
    for part in ("images", "eval", "rollouts"):
        (folder / part).mkdir(parents=True)
    rng = random.Random(0)
    samples = _samples("val", questions)
    for step, skill in ((0, 0.4), (steps, 0.8)):
        rows = [_row(folder, sample, step, attempt, skill, rng) for sample in samples for attempt in range(2)]
        write_json(
            folder / f"eval/step_{step:06d}.json", {"step": step, "summary": AFTER if step else BEFORE, "rows": rows}
        )
    trained = _samples("train", prompts)
    rows = [_row(folder, sample, steps, attempt, 0.6, rng) for sample in trained for attempt in range(group_size)]
    for start in range(0, len(rows), group_size):
        group = rows[start : start + group_size]
        mean = sum(row["reward"] for row in group) / group_size
        spread = math.sqrt(sum((row["reward"] - mean) ** 2 for row in group) / group_size)
        for row in group:
            row["advantage"] = (row["reward"] - mean) / spread if spread else 0.0
    write_lines(folder / f"rollouts/step_{steps:06d}.jsonl", rows)
    write_lines(folder / "metrics.jsonl", _metrics(steps, rng))
    (folder / "recipe.yaml").write_text("model:\n  path: tiny\nrewards:\n  answer: {use: rewards/count.py}\n")
    card = {
        "medrl": "0.1.0",
        "git_commit": "5954b7bd",
        "seed": 0,
        "packages": {"torch": "2.11.0", "transformers": "5.9.1"},
    }
    write_json(folder / "card.json", {**card, "sha256": {"rewards/count.py": "ab" * 32}})
    done = {
        "status": "completed",
        "reason": None,
        "engine": "local",
        "steps": steps,
        "seconds": 186,
        "peak_rss_mb": 1480,
    }
    write_json(folder / "summary.json", {**done, "val_first": BEFORE, "val_last": AFTER})
    return folder


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def change_rows(path: Path, **values: Any) -> None:
    """Set values in every row of an evaluation or of a rollouts file."""
    if path.suffix == ".jsonl":
        write_lines(path, [{**json.loads(line), **values} for line in path.read_text().splitlines()])
    else:
        evaluation = json.loads(path.read_text())
        write_json(path, {**evaluation, "rows": [{**row, **values} for row in evaluation["rows"]]})


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def _samples(split: str, n: int) -> list[Sample]:
    tasks = ("count", "locate", "modality")
    found = [sample for task in tasks for sample in phantom.read(None, split, task=task, n=n)]
    return [sample for sample in found if isinstance(sample, Sample)][:: len(tasks)][:n]


def _row(folder: Path, sample: Sample, step: int, attempt: int, skill: float, rng: random.Random) -> dict[str, Any]:
    data = sample.images[0]["bytes"]
    name = f"images/{hashlib.sha256(data).hexdigest()[:16]}.png"
    (folder / name).write_bytes(data)
    right = rng.random() < skill
    answer = sample.ground_truth if right else _wrong(sample, rng)
    score = float(right)
    reply = (
        f"<think>I look at every cell; {rng.choice(['one bright spot', 'the rim is sharp', 'nothing moves'])}.</think>"
    )
    return {
        "step": step, "sample_id": sample.id, "attempt": attempt, "data_source": "phantom", "kind": sample.kind,
        "question": sample.question, "options": sample.options, "ground_truth": sample.ground_truth,
        "truth_in_model_frame": sample.ground_truth, "images": [name], "image_sizes_px": [[112, 112]],
        "model_sizes_px": [[112, 112]], "frame": "px_model",
        "prompt": "<|im_start|>user\n" + "<|image_pad|>" * 16 + f"{sample.question}<|im_end|>\n",
        "reply": f"{reply}<answer>{answer}</answer>", "tokens": 20 + rng.randrange(12), "end_reason": "eos",
        "reward": score + 0.1, "scores": {"answer/score": score, "answer/answered": 1.0, "format/score": 1.0},
        "missing": {}, "advantage": None,
    }  # fmt: skip


def _wrong(sample: Sample, rng: random.Random) -> str:
    if sample.kind == "box":
        left, top, right, bottom = json.loads(sample.ground_truth)
        return json.dumps([left + 9, top - 7, right + 12, bottom - 3])
    if sample.kind == "choice":
        return rng.choice([letter for letter in sample.options or {} if letter != sample.ground_truth])
    return str(int(sample.ground_truth) + 1)


def _metrics(steps: int, rng: random.Random) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for step in range(1, 31):
        records.append({"stage": "sft", "step": step, "sft/loss": 3 * math.exp(-step / 12), "optimizer/lr": 3e-3})
    for step in range(steps + 1):
        share = step / steps
        record: dict[str, Any] = {"stage": "grpo", "step": step}
        if step:
            noise = rng.gauss(0, 0.04)
            record |= {
                "reward/mean": 0.4 + 0.4 * share + noise, "reward/std": 0.3, "reward/answer/score": 0.35 + 0.4 * share + noise,
                "reward/format/score": min(0.7 + share, 1), "reward/missing": 0.01, "group/zero_spread": 0.1 + 0.3 * share,
                "policy/entropy": 0.9 - 0.5 * share + noise, "policy/kl": 0.02 * share,
                "policy/clip_fraction": 0.01 + abs(noise) / 5, "policy/engine_gap": 1e-6 * (1 + abs(noise)),
                "rollout/length": 24 + 6 * share + 20 * noise, "rollout/truncated": max(0.05 - 0.1 * share, 0),
                "optimizer/lr": 2e-4, "optimizer/grad_norm": 1 + noise,
                "time/generate_s": 0.6 + noise, "time/score_s": 0.05, "time/update_s": 0.8, "time/step_s": 1.5 + noise,
                "my_reward/novel_entry": share, "rollout/length_max": 32.0,
            }  # fmt: skip
        if step % max(steps // 8, 1) == 0:
            value = 0.42 + 0.36 * share
            record |= {"val/reward": value, "val/reward_low": value - 0.03, "val/reward_high": value + 0.03}
            record |= {
                "val/greedy_reward": value + 0.08,
                "val/parse_rate": 0.61 + 0.38 * share,
                "val/constant_answer": 0.27,
            }
        records.append(record)
    return records


def make_hostile_run(folder: Path) -> Path:
    """Every text that a model, a data set or a recipe can bring, replaced by markup that would run."""
    run = make_run(folder, questions=6)
    texts = (
        "sample_id",
        "data_source",
        "kind",
        "question",
        "ground_truth",
        "truth_in_model_frame",
        "prompt",
        "reply",
        "end_reason",
    )
    for file in ("eval/step_000000.json", "eval/step_000040.json", "rollouts/step_000040.jsonl"):
        change_rows(
            run / file,
            **dict.fromkeys(texts, HOSTILE),
            options={HOSTILE: HOSTILE},
            missing={HOSTILE: HOSTILE},
            frame=HOSTILE,
        )
    with (run / "metrics.jsonl").open("a") as file:
        alarm = {"name": HOSTILE, "value": 1.0, "limit": 0.5, "text": HOSTILE}
        file.write(json.dumps({"stage": "grpo", "step": 40, "reward/mean": 0.5, "alarms": [alarm] * 2}) + "\n")
        file.write(json.dumps({"stage": HOSTILE, "step": 1, HOSTILE: 1.0, f"reward/{HOSTILE}/score": 1.0}) + "\n")
        file.write(json.dumps({"stage": "grpo", "step": 1, f"reward/{HOSTILE.replace('/', '')}/score": 1.0}) + "\n")
    (run / "recipe.yaml").write_text(HOSTILE)
    write_json(run / "card.json", {HOSTILE: HOSTILE})
    summary = json.loads((run / "summary.json").read_text())
    metrics = {HOSTILE: 1.0}
    write_json(
        run / "summary.json",
        {**summary, "reason": HOSTILE, "status": HOSTILE, "engine": HOSTILE, "val_last": {**AFTER, "metrics": metrics}},
    )
    return run


class Page(HTMLParser):
    """What a browser would find: tags with attributes, and the text outside style and script."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script"):
            self.text += data

    def count(self, tag: str, name: str) -> int:
        """How many such tags carry this class."""
        return sum(found == tag and name in (attributes.get("class") or "").split() for found, attributes in self.tags)


def read_page(run: Path) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))
