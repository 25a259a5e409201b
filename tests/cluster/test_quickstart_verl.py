"""The quickstart through real verl, Ray, vLLM and FSDP, as a user runs it, and what its exported model is good for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cluster_runs import ROOT, finish, journal, start, summary, traces
from transformers import AutoModelForImageTextToText, AutoProcessor

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
# what only one of the engines has: local's own parts of a step
LOCAL_ONLY = {"time/build_s"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One whole run, with everything it left on the machine."""
    run = tmp_path_factory.mktemp("verl") / "quickstart"
    before = traces()
    code = finish(start(run, "engine.name=verl", "training.steps=6"), within_s=800)
    assert code == 0, run.with_suffix(".log").read_text()[-3000:]
    return run, traces() - before


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    target = tmp_path_factory.mktemp("export") / "model"
    subprocess.run([sys.executable, "-m", "medrl", "export", str(finished[0]), str(target)], check=True, timeout=120)
    return target


def test_it_completes_and_leaves_nothing_but_the_run(finished):
    run, left = finished
    ended = summary(run)
    assert ended["status"] == "completed" and ended["reason"] is None
    assert (ended["engine"], ended["steps"]) == ("verl", 6)
    assert ended["val_first"]["n"] == ended["val_last"]["n"] == 512
    assert (run / "report.html").stat().st_size > 10_000
    assert not left


def test_the_journal_has_the_names_of_engine_local_and_verls_own(finished, tmp_path):
    run = finished[0]
    beside = tmp_path / "local"
    small = ("training.steps=1", "sft.steps=1", "data.train_options.n=64", "data.val_options.n=8", "engine.name=local")
    assert finish(start(beside, *small), within_s=240) == 0
    for stage in ("sft", "grpo"):
        ours, theirs = ({key for e in journal(one) if e["stage"] == stage for key in e} for one in (run, beside))
        assert theirs - LOCAL_ONLY <= ours, sorted(theirs - ours)
    last = journal(run)[-1]
    assert {
        "reward/answer/score",
        "reward/answer/answered",
        "reward/format/score",
        "val/reward/answer/score",
    } <= last.keys()
    assert {"actor/pg_loss", "critic/score/mean", "timing_s/update_actor", "perf/throughput"} <= last.keys()


def test_vllm_and_the_actor_are_one_policy(finished):
    gaps = [entry["policy/engine_gap"] for entry in journal(finished[0]) if "policy/engine_gap" in entry]
    assert len(gaps) == 6 and max(gaps) < 1e-3
    assert max(gaps) > 0, (
        "two programs never agree to the last bit; equal numbers would be one number compared with itself"
    )


def test_every_rollout_is_kept_with_its_scores(finished):
    rows = [json.loads(line) for line in (finished[0] / "rollouts" / "step_000006.jsonl").read_text().splitlines()]
    assert len(rows) == 256 and len({(row["sample_id"], row["attempt"]) for row in rows}) == 256
    first = journal(finished[0])[-1]
    assert sum(row["reward"] for row in rows) / 256 == pytest.approx(first["reward/mean"], abs=1e-6)
    groups = {}
    for row in rows:
        groups.setdefault(row["sample_id"], []).append(row)
    for group in groups.values():
        assert len(group) == 16 and abs(sum(row["advantage"] for row in group)) < 1e-3


def test_the_exported_folder_loads_in_transformers_and_in_engine_local(finished, exported, tmp_path):
    network = AutoModelForImageTextToText.from_pretrained(exported, dtype=torch.float32)
    stored = AutoModelForImageTextToText.from_pretrained(
        sorted((finished[0] / "checkpoints").glob("global_step_*"))[-1] / "model", dtype=torch.float32
    )
    for (name, ours), (_, theirs) in zip(network.named_parameters(), stored.named_parameters()):
        assert torch.equal(ours, theirs), name
    assert AutoProcessor.from_pretrained(exported).chat_template
    run = tmp_path / "onward"
    small = ("training.steps=1", "sft.steps=0", "data.train_options.n=64", "data.val_options.n=64", "engine.name=local")
    assert finish(start(run, f"model.path={exported}", *small), within_s=240) == 0
    # the same model answers the same questions about as well as it did in the cluster
    assert summary(run)["val_first"]["parse_rate"] > 0.7


def test_the_exported_folder_gives_vllm_the_same_probabilities(exported):
    compare = Path(__file__).parent / "compare_vllm.py"
    done = subprocess.run(
        [sys.executable, str(compare), str(exported)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["tokens"] > 50 and found["largest_gap"] < 1e-4
