"""The whole engine on a Ray cluster of two nodes that is already up: two FSDP workers, two vLLM servers, RAY_ADDRESS.

Groups that are all equal are left out, so that in some steps both servers are asked again.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from cluster_runs import ROOT, SMALL, finish, journal, start, summary, traces

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
TWO_NODES = """
import sys
from pathlib import Path
from cluster_runs import two_nodes
with two_nodes(Path(sys.argv[1])) as address:
    print(address, flush=True)
    sys.stdin.read()  # until the test closes it
"""
LUCK = """
import zlib


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    return float(zlib.crc32(solution_str.encode()) % 4 == 0)
"""


@pytest.fixture
def address():
    """Two nodes of one logical GPU each, on this machine, ended with the test."""
    with tempfile.TemporaryDirectory(prefix="tn-", dir="/tmp") as temp:  # a unix socket's path is short
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "TMPDIR": temp}
        nodes = subprocess.Popen(
            [sys.executable, "-c", TWO_NODES, temp], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield next(line.strip() for line in nodes.stdout if line.startswith(("1", "2")))
        finally:
            nodes.stdin.close()
            nodes.wait(60)


def test_two_nodes_with_a_server_each_train_together_and_stay_up(address: str, tmp_path: Path):
    run = tmp_path / "two"
    before = traces()
    (tmp_path / "luck.py").write_text(LUCK)
    luck = (f"rewards.luck.use={tmp_path / 'luck.py'}", "scoring.accuracy=luck", "algorithm.filter_groups=true")
    settings = (*SMALL, *luck, "engine.nodes=2", "engine.gpus_per_node=1", "training.steps=4")
    process = start(run, *settings, RAY_ADDRESS=address)
    assert finish(process, within_s=800) == 0, run.with_suffix(".log").read_text()[-3000:]
    assert summary(run)["status"] == "completed" and summary(run)["steps"] == 4
    steps = [entry for entry in journal(run) if entry["stage"] == "grpo" and entry["step"]]
    assert all(0 < entry["policy/engine_gap"] < 1e-3 for entry in steps), "a server was left with other weights"
    optimizer = sorted(path.name for path in (run / "checkpoints" / "global_step_4").glob("optimizer_*"))
    assert optimizer == ["optimizer_00000_of_00002.pt", "optimizer_00001_of_00002.pt"]
    for step in range(1, 5):
        rows = [json.loads(line) for line in (run / "rollouts" / f"step_{step:06d}.jsonl").read_text().splitlines()]
        told = steps[step - 1]
        groups: dict[str, list] = {}
        for row in rows:
            groups.setdefault(row["sample_id"], []).append(row)
        assert len(groups) == told["group/asked"] and {len(group) for group in groups.values()} == {4}
        spread = [len({row["scores"]["luck/score"] for row in group}) > 1 for group in groups.values()]
        assert spread == sorted(spread, reverse=True) and sum(spread) == told["group/kept"]
        for group, trained in zip(groups.values(), spread):
            assert {row["advantage"] is not None for row in group} == {row.get("filtered") is None for row in group}
            assert {row["advantage"] is not None for row in group} == {trained}
    assert sum(entry["group/refills"] for entry in steps) > 0
    assert traces() <= before
    # the cluster is somebody's: its nodes are there, and free again for the next run
    look = (
        "import ray; ray.init('auto', log_to_driver=False); print(len(ray.nodes()), ray.available_resources()['GPU'])"
    )
    environment = {**os.environ, "RAY_ADDRESS": address}
    seen = subprocess.run(
        [sys.executable, "-c", look], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert seen.stdout.split()[-2:] == ["2", "2.0"]
