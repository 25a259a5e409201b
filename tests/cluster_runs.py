"""Running `medrl train … engine.name=verl` as a user does, and looking at what it leaves on the machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SMALL = (  # a run whose steps take a second or two
    "engine.name=verl", "sft.steps=0", "data.train_options.n=64", "data.val_options.n=8", "training.prompts_per_step=4",
    "algorithm.group_size=4", "sampling.max_new_tokens=16", "checkpoint.every=1", "val.every=1000",
)  # fmt: skip


def start(
    run: Path, *overrides: str, recipe: str = "recipes/quickstart.yaml", **environment: str
) -> subprocess.Popen[bytes]:
    """A recipe in a run directory, as its own process group, output in <run>.log; variables beside the usual ones."""
    log = run.with_suffix(".log").open("ab")
    command = [
        sys.executable, "-m", "medrl", "train", recipe, f"runs_dir={run.parent}", f"name={run.name}", *overrides,
    ]  # fmt: skip
    usual = {key: value for key, value in os.environ.items() if key not in ("PYTHONDONTWRITEBYTECODE", "RAY_ADDRESS")}
    environment = {**usual, **environment}
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment, start_new_session=True)


def finish(process: subprocess.Popen[bytes], within_s: float) -> int:
    """Its exit code; a run that outlives the limit is ended, and the test fails."""
    try:
        return process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        raise AssertionError(f"not finished within {within_s:.0f} s") from None


def journal(run: Path) -> list[dict[str, Any]]:
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def steps(run: Path) -> list[int]:
    return [entry["step"] for entry in journal(run) if entry["stage"] == "grpo"]


def summary(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


def wait_for_step(process: subprocess.Popen[bytes], run: Path, step: int, within_s: float) -> None:
    """Until the journal has that step."""
    until = time.monotonic() + within_s
    while step not in steps(run):
        assert process.poll() is None, (
            f"ended with {process.returncode}:\n{run.with_suffix('.log').read_text()[-3000:]}"
        )
        assert time.monotonic() < until, f"step {step} not reached within {within_s:.0f} s"
        time.sleep(0.2)


def below(pid: int) -> dict[int, str]:
    """{pid: command line} of a process's living descendants."""
    parents, commands = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat, line = (folder / "stat").read_text(), (folder / "cmdline").read_bytes()
            except OSError:
                continue
            state, parent = stat[stat.rindex(")") + 2 :].split()[:2]
            if state != "Z":
                parents[int(folder.name)] = int(parent)
                commands[int(folder.name)] = line.replace(b"\0", b" ").decode(errors="replace")
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        above = waiting.pop()
        children = [child for child, parent in parents.items() if parent == above]
        found |= {child: commands[child] for child in children}
        waiting += children
    return found


def traces() -> set[str]:
    """What a run could leave behind: shared-memory segments and temporary folders."""
    return {
        str(path)
        for pattern in ("/dev/shm/*", "/tmp/medrl-*", "/tmp/rl-colocate-zmq-*")
        for path in Path("/").glob(pattern[1:])
    }


@contextmanager
def two_nodes(temp: Path) -> Iterator[str]:
    """Ray with two nodes on this machine, each with one logical GPU; its address, which RAY_ADDRESS names too."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 32, "num_gpus": 1, "include_dashboard": False, "temp_dir": str(temp / "r")}
    (temp / "ray").mkdir()  # Cluster writes its address there, wherever its own files lie
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        os.environ["RAY_ADDRESS"] = cluster.address
        yield cluster.address
    finally:
        cluster.shutdown()
