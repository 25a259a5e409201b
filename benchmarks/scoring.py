"""How near the scoring service comes to the ideal, against verl's own reward manager on the same calls in the same run.

    python benchmarks/scoring.py [--calls 512] [--seconds 0.05] [--workers 8]

A reward that sleeps is called once per rollout: by medrl's service, and by `NaiveRewardManager` of the installed verl, whose
rows hold the same replies as tokens. The ideal is calls x seconds / workers. Then 64 rewards of one second; what a call costs
beside the reward itself; a step's rollouts under three bundled rewards; and how soon a reward that hangs in C is replaced.
Prints a table and, as its last line, one JSON object: `ratio` is our time by verl's, `over_ideal` ours by the ideal.
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import medrl
from medrl.recipe import Reward
from medrl.scoring.loaded import LoadedReward, load_rewards
from medrl.scoring.workers.service import Service, default_workers

REWARDS = Path(__file__).resolve().parent.parent / "rewards"
SLEEPS = """import time
def compute_score(data_source, solution_str, ground_truth, extra_info=None, *, seconds=0.0):
    time.sleep(seconds)
    return {"score": float(len(solution_str))}
"""
HANGS = """import re
def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    return 1.0 if solution_str != "hang" else float(bool(re.match(r"(a+)+$", "a" * 60 + "b")))
"""
BUNDLED = {"answer": "count.py", "format": "format.py", "again": "count.py"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=0.05)
    parser.add_argument("--workers", type=int, default=8)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), asked.calls, asked.seconds, asked.workers)
    ideal = asked.calls * asked.seconds / asked.workers
    found = {
        "ratio": rows["ours_s"] / rows["verl_s"] if rows["verl_s"] else None,
        "over_ideal": rows["ours_s"] / ideal,
        "ideal_s": ideal,
        **rows,
    }
    width = max(map(len, found))
    for name, value in found.items():
        print(f"{name:{width}}  {'-' if value is None else format(value, '12.4f')}")
    versions = {"medrl": medrl.__version__, "verl": _version("verl"), "python": platform.python_version()}
    settings = {"calls": asked.calls, "seconds": asked.seconds, "workers": asked.workers, "cpus": default_workers()}
    rounded = {name: value if value is None else round(value, 4) for name, value in found.items()}
    print(json.dumps({**rounded, **settings, "versions": versions}))


def measure(folder: Path, calls: int, seconds: float, workers: int) -> dict[str, float | None]:
    """Seconds of each part, and microseconds of a call."""
    sleeps = _load(folder, "sleeps", SLEEPS, kwargs={"seconds": seconds})
    replies = [f"<answer>{number % 10}</answer>" for number in range(calls)]
    found: dict[str, float | None] = {}
    found["ours_s"] = timed(sleeps, replies, workers)
    found["verl_s"] = verl_s(sleeps[0], replies)
    found["64_of_1_s"] = timed(_load(folder, "second", SLEEPS, kwargs={"seconds": 1.0}), replies[:64], workers, 1)
    trivial, processes = _load(folder, "trivial", SLEEPS.replace("    time.sleep(seconds)\n", "")), default_workers()
    found["call_us"] = 1e6 / 4096 * timed(trivial, replies[:1] * 4096, processes)
    bundled = load_rewards({name: Reward(str(REWARDS / file)) for name, file in BUNDLED.items()})
    found["64_rollouts_3_bundled_ms"] = 1e3 * timed(bundled, replies[:64], processes)
    found["same_in_this_process_ms"] = 1e3 * here(bundled, replies[:64])
    hangs = _load(folder, "hangs", HANGS, timeout_s=1.0)
    found["hang_beyond_deadline_s"] = timed(hangs, ["hang", *replies[:63]], 1, failing=1) - 1.0
    return found


def timed(rewards: list[LoadedReward], replies: list[str], workers: int, times: int = 3, failing: int = 0) -> float:
    """Seconds until every reply has every score, the median of some times; the workers are there before."""
    found = []
    with Service(rewards, workers) as service:
        warm = [
            (reward.name, given(f"<answer>{number}</answer>")) for reward in rewards for number in range(4 * workers)
        ]
        service.submit(warm).result()
        for _ in range(times):
            begun = time.perf_counter()
            calls = (
                (reward.name, arguments) for reply in replies for arguments in [given(reply)] for reward in rewards
            )
            outcomes = service.submit(calls).result()
            found.append(time.perf_counter() - begun)
            assert sum(isinstance(one.result, Exception) for one in outcomes) == failing
    return statistics.median(found)


def here(rewards: list[LoadedReward], replies: list[str]) -> float:
    """The same calls by a loop in this process."""
    begun = time.perf_counter()
    for reply in replies:
        for reward in rewards:
            reward.plugin.target(**given(reply))
    return time.perf_counter() - begun


def given(reply: str) -> dict[str, Any]:
    """What a reward is called with."""
    extra_info = {"options": {"A": "MRI", "B": "CT"}, "kind": "count", "modality": "CT", "image_size": [64, 64]}
    return {"data_source": "phantom", "solution_str": reply, "ground_truth": "3", "extra_info": extra_info}


def verl_s(reward: LoadedReward, replies: list[str]) -> float | None:
    """Seconds of verl's NaiveRewardManager for these replies, their tokens decoded as it does; None without verl."""
    try:
        import numpy as np
        import torch
        from verl import DataProto
        from verl.workers.reward_manager.naive import NaiveRewardManager
    except ImportError as error:
        print(f"verl is not installed, so it is not measured: {error}", file=sys.stderr)
        return None

    class Characters:
        """A tokenizer of one token a character, faster than any real one."""

        def decode(self, ids: Any, skip_special_tokens: bool = True) -> str:
            return "".join(map(chr, ids.tolist()))

    longest = max(map(len, replies))
    ids = torch.zeros(len(replies), longest, dtype=torch.long)
    mask = torch.zeros(len(replies), 1 + longest, dtype=torch.long)
    for row, reply in enumerate(replies):
        ids[row, : len(reply)] = torch.tensor([ord(letter) for letter in reply])
        mask[row, : 1 + len(reply)] = 1
    count = len(replies)
    batch = DataProto.from_dict(
        {"prompts": torch.full((count, 1), 65), "responses": ids, "attention_mask": mask},
        non_tensors={
            "data_source": np.array(["phantom"] * count, dtype=object),
            "reward_model": np.array([{"ground_truth": "3"}] * count, dtype=object),
            "extra_info": np.array([dict(given("")["extra_info"]) for _ in range(count)], dtype=object),
        },
    )

    def compute_score(**named: Any) -> Any:
        return reward.plugin.target(**named, **reward.kwargs)

    manager = NaiveRewardManager(Characters(), 0, compute_score)
    begun = time.perf_counter()
    scores = manager(batch)
    seconds = time.perf_counter() - begun
    assert scores.sum(1).tolist() == [float(len(reply)) for reply in replies]
    return seconds


def _load(folder: Path, name: str, source: str, **values: Any) -> list[LoadedReward]:
    path = folder / f"{name}.py"
    path.write_text(source)
    return load_rewards({name: Reward(str(path), **values)})


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
