"""A sweep over the smallest recipe that trains, for tests that start real runs."""

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from makers import RECIPE
from omegaconf import OmegaConf

REWARD = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None, broken=False, broken_late=False):
    if broken or (broken_late and extra_info and extra_info.get("split") == "val"):
        raise RuntimeError("the grader broke")
    return float(len(solution_str) % 2)
"""
SMALL: dict[str, Any] = {
    **copy.deepcopy(RECIPE),
    "data": {**RECIPE["data"], "train_options": {"n": 8}, "val_options": {"n": 2}},
    "rewards": {"answer": {"use": "reward.py"}},
    "sft": {"steps": 0},
    "algorithm": {"group_size": 2},
    "sampling": {"max_new_tokens": 4, "max_prompt_tokens": 256},
    "training": {"steps": 1, "prompts_per_step": 2},
}


def write_small(folder: Path, block: dict[str, Any], **sections: Any) -> Path:
    """mine.yaml and its reward in a folder."""
    (folder / "reward.py").write_text(REWARD)
    path = folder / "mine.yaml"
    OmegaConf.save(OmegaConf.create({**SMALL, **sections, "sweep": block}), path)
    return path


def medrl(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command to its end, from the working directory."""
    command = [sys.executable, "-m", "medrl", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600, check=False
    )
