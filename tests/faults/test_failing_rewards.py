"""Rewards that fail in the middle of a run: it stops above `scoring.max_missing`, says why, and loses nothing by it."""

import json

import pytest
from makers import recipe
from test_resume import same_run

REWARD = """import os, time, zlib
def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    number = zlib.crc32(solution_str.encode())
    if os.path.exists({flag!r}):
        if number % 8 == 0: time.sleep(60)
        if number % 8 in (1, 2): os._exit(7)
        if number % 8 in (3, 4, 5): raise OSError("the table is gone")
    return {{"score": number % 8 / 8}}
"""


SMALL = {
    "data": {"train_options": {"n": 8}, "val_options": {"n": 2}}, "sft": {"steps": 0}, "sampling": {"max_new_tokens": 8},
    "training": {"steps": 3, "prompts_per_step": 4}, "val": {"every": 3}, "checkpoint": {"every": 1},
}  # fmt: skip


def run(folder, name, observe=lambda entry: None, timeout_s=0.5, **scoring):
    """The small recipe with that reward and two reward processes."""
    from medrl import preflight
    from medrl.learning.train import train
    from medrl.record.run import Run

    reward = {"use": str(folder / "mine.py"), "timeout_s": timeout_s}
    settings = recipe(folder, name, rewards={"mine": reward}, scoring={"workers": 2, **scoring}, **SMALL)
    plan = preflight.check(settings)
    opened = Run.open(settings)
    train(plan, opened, observe)
    return opened.folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("rewards")
    (made / "mine.py").write_text(REWARD.format(flag=str(made / "flag")))
    return made


def test_too_many_failures_stop_the_run_with_the_commonest_reasons_and_the_mended_reward_resumes_it(folder):
    from medrl.errors import MedrlError

    flag = folder / "flag"
    unbroken = run(folder, "unbroken")

    def break_it(entry):
        if entry["stage"] == "grpo" and entry["step"] == 1:
            flag.write_text("")

    with pytest.raises(MedrlError) as caught:
        run(folder, "broken", break_it)
    told = str(caught.value)
    assert "step 2: " in told and "scoring.max_missing=0.05" in told and "resumes from its last checkpoint" in told
    reasons = (
        "timeout after 0.5 s (killed)",
        "worker died: exit code 7",
        "OSError: the table is gone (mine.py line 7)",
    )
    assert sum(f"rewards.mine: {reason}" in told for reason in reasons) >= 2, told
    summary = json.loads((folder / "broken" / "summary.json").read_text())
    assert summary["status"] == "failed" and summary["reason"] == told
    flag.unlink()
    same_run(unbroken, run(folder, "broken", timeout_s=5, workers=1, max_missing=0.5), step=3)


@pytest.mark.cluster  # the same again takes seconds
def test_few_failures_are_left_out_and_counted(folder):
    flag = folder / "flag"

    def break_it(entry):
        if entry["stage"] == "grpo" and entry["step"] == 1:
            flag.write_text("")

    try:
        whole = run(folder, "patient", break_it, max_missing=1.0)
    finally:
        flag.unlink(missing_ok=True)
    steps = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    last = steps[-1]
    assert last["step"] == 3 and last["scoring/mine/failed"] == 16 * last["reward/missing"] > 0
    assert last["scoring/replaced"] <= last["scoring/mine/failed"] and last["time/scoring/mine_s"] > 0
    assert steps[-2]["scoring/mine/failed"] > 0 and steps[-3]["scoring/mine/failed"] == 0
