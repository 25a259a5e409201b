"""How long `medrl reward rescore` takes on 10,000 stored rollouts, half of them episodes with a zoom, under five rewards.

    python benchmarks/rescore.py [--rollouts 10000]

The run is made up: questions with four options over one picture, replies of about 150 words, groups of eight. Prints the
seconds of the whole command, start of Python included; the last line is one JSON object. Its `ratio` is to a bare loop
that only calls the same reward functions.
"""

import argparse
import io
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from PIL import Image

import medrl
from medrl.data.sample import Sample, make_sample, write_parquet
from medrl.plugin import load_plugin

ATTEMPTS, PROMPTS_A_STEP = 8, 32
OPTIONS = {"A": "Adenocarcinoma", "B": "Squamous cell carcinoma", "C": "Normal mucosa", "D": "Tubular adenoma"}
WORDS = tuple("the tissue shows glands with a smooth border and no sign of invasion while nuclei remain small".split())  # noqa: SIM905
REWARDS = {
    "answer": {"use": "rewards/choice.py", "gate": "format"},
    "format": {"use": "rewards/format.py", "weight": 0.0},
    "thought": {"use": "rewards/turn_format.py", "weight": 0.2},
    "tool": {"use": "rewards/tool.py", "weight": 0.5},
    "curious": {"use": "rewards/curiosity.py", "weight": 0.3},
}


def make_run(folder: Path, rollouts: int) -> tuple[Path, Path]:
    """(run directory, recipe) with made-up rollouts; half the attempts of a group have looked before they answer."""
    draw = random.Random(0)
    picture = io.BytesIO()
    Image.new("RGB", (32, 32)).save(picture, "PNG")
    images = [{"bytes": picture.getvalue()}]
    questions = [
        make_sample(
            id=f"made-up/{number}", data_source="made_up", question="Which diagnosis fits the picture best?", images=images,
            ground_truth="ABCD"[number % 4], kind="choice", split="train", options=OPTIONS, modality="histology",
        )
        for number in range(rollouts // ATTEMPTS)
    ]  # fmt: skip
    write_parquet(questions, folder / "train.parquet")
    run = folder / "run"
    (run / "rollouts").mkdir(parents=True)
    for start in range(0, len(questions), PROMPTS_A_STEP):
        step = start // PROMPTS_A_STEP + 1
        rows = [
            _row(draw, step, sample, attempt)
            for sample in questions[start : start + PROMPTS_A_STEP]
            for attempt in range(ATTEMPTS)
        ]
        (run / "rollouts" / f"step_{step:06d}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    data = {"train": "train.parquet", "val": "train.parquet", "root": str(folder)}
    recipe = {"model": {"path": "tiny"}, "data": data, "rewards": REWARDS, "training": {"steps": 1}}
    OmegaConf.save(OmegaConf.create(recipe), run / "recipe.yaml")
    return run, run / "recipe.yaml"


def _row(draw: random.Random, step: int, sample: Sample, attempt: int) -> dict[str, Any]:
    """A row as training writes it."""
    thought = " ".join(draw.choices(WORDS, k=150))
    reply = f"<think>{thought}</think><answer>{draw.choice('ABCD')}</answer>"
    if draw.random() < 0.2:
        reply = reply.replace("<think>", "").replace("</think>", "")
    turns = []
    if attempt % 2:
        box = [draw.randint(0, 200), draw.randint(0, 200), 300, 300]
        asked = {"name": "zoom", "arguments": {"bbox_2d": box}}
        confirmed = {"tool": "zoom", "source": 0, "box_px_original": box}
        told = {"fault": None, "observation": "Here it is.", "images": 1, "fault_class": None}
        call = f"<think>{thought[:200]}</think><tool_call>{json.dumps(asked)}</tool_call>"
        turns = [
            {"text": call, "asked": asked, "confirmed": confirmed, "tokens": [80, 70], **told},
            {
                "text": reply,
                "asked": None,
                "confirmed": None,
                "tokens": [200, 0],
                **told,
                "images": 0,
                "observation": None,
            },
        ]
    reward = draw.choice((0.0, 0.2, 1.0, 1.2))
    return {
        "step": step, "sample_id": sample.id, "attempt": attempt, "data_source": sample.data_source, "kind": sample.kind,
        "question": sample.question, "options": sample.options, "ground_truth": sample.ground_truth,
        "truth_in_model_frame": sample.ground_truth, "images": ["images/0123456789abcdef.png"],
        "image_sizes_px": [[512, 512]], "model_sizes_px": [[504, 504]], "frame": "px_model", "prompt": f"?{sample.question}",
        "prompt_tokens": 400, "reply": reply, **({"turns": turns} if turns else {}), "tokens": 350,
        "token_ids": draw.choices(range(150_000), k=350), "end_reason": "eos", "reward": reward,
        "scores": {"answer/score": float(reward > 0.5), "answer/answered": 1.0, "thought/score": 1.0}, "missing": {},
        "advantage": draw.uniform(-1, 1),
    }  # fmt: skip


def bare_loop(run: Path) -> float:
    """Seconds to read the files and call the rewards of one rollout, and nothing else."""
    alone = [load_plugin(str(one["use"]), "compute_score").target for name, one in REWARDS.items() if name != "curious"]
    started = time.perf_counter()
    for path in sorted((run / "rollouts").glob("*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            turns = row.get("turns", [])
            record = {
                "turns": [turn["text"] for turn in turns], "asked": [bool(turn["asked"]) for turn in turns],
                "image_sizes": row["image_sizes_px"], "refused": 0, "end_reason": "eos",
                "actions": [turn["confirmed"] for turn in turns if turn["confirmed"]],
            }  # fmt: skip
            extra = {"kind": "choice", "options": row["options"], **({"rollout": record} if turns else {})}
            for function in alone:
                function(row["data_source"], row["reply"], row["ground_truth"], extra)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=10_000)
    rollouts = parser.parse_args().rollouts // ATTEMPTS * ATTEMPTS
    with tempfile.TemporaryDirectory() as temp:
        run, recipe = make_run(Path(temp), rollouts)
        bare = bare_loop(run)
        command = [sys.executable, "-m", "medrl", "reward", "rescore", str(run), str(recipe), "--json"]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        facts = json.loads(done.stdout)
    print(f"{rollouts} rollouts, {len(REWARDS)} rewards: {seconds:.1f} s; a bare loop over the rewards {bare:.1f} s")
    result = {
        "benchmark": "rescore", "ratio": round(seconds / bare, 2), "seconds": round(seconds, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2), "bare_s": round(bare, 2),
        "rollouts": facts["rollouts"], "missing": facts["missing"]["new"], "order": facts["order"],
        "versions": {"medrl": medrl.__version__, "python": platform.python_version()}, "cores": os.cpu_count(),
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
