"""A run with band, order, stages and replay: fresh rollouts for what is asked again, and a resume that changes nothing."""

import json

import pytest
from makers import recipe
from safetensors.torch import load_file
from test_cli import run

from medrl import preflight
from medrl.cli import _card
from medrl.errors import MedrlError
from medrl.learning.train import train
from medrl.record.run import Run

REWARD = "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n    return len(solution_str) % 5 / 4\n"
STEPS = 6


def settings(folder, name):
    (folder / "reward.py").write_text(REWARD)
    rates = [{"sample_id": f"phantom/count/{number}", "pass_rate": (number * 5 % 24) / 24} for number in range(24)]
    (folder / "rates.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rates))
    return recipe(
        folder, name,
        rewards={"answer": {"use": str(folder / "reward.py")}}, sft={"steps": 0},
        training={"steps": STEPS, "prompts_per_step": 4}, val={"every": 9}, checkpoint={"every": 3},
        data={"val_options": {"n": 2}}, algorithm={"group_size": 2}, sampling={"max_new_tokens": 6},
        curriculum={
            "pass_rates": str(folder / "rates.jsonl"), "min_pass_rate": 0.1, "max_pass_rate": 0.9, "order": "hard_to_easy",
            "stages": [{"kinds": ["count"], "steps": 2}, {"data_source": "phantom"}],
            "replay_share": 0.25, "replay_window": 2, "replay_below": 0.9,
        },
    )  # fmt: skip


class Killed(Exception):
    pass


def made(folder, name, killed_at=None):
    given = settings(folder, name)
    opened = Run.open(given)

    def look(entry):
        if entry["step"] == killed_at:
            raise Killed

    train(preflight.check(given), opened, look)
    return opened.folder


def journal(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not key.startswith("time/")} for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return made(tmp_path_factory.mktemp("course"), "whole")


def test_the_journal_says_stage_difficulty_and_replays_and_replayed_rollouts_are_fresh(whole):
    lines = journal(whole)[1:]
    assert [line["data/stage"] for line in lines] == [1, 1, 2, 2, 2, 2]
    assert lines[0]["data/replayed"] == 0 and sum(line["data/replayed"] for line in lines) >= 3
    assert max(line["data/replayed"] for line in lines) == 1  # a quarter of four
    assert all(0.1 <= line["data/pass_rate_mean"] <= 0.9 for line in lines)
    seen, again = {}, 0
    for step in range(1, STEPS + 1):
        rows = [json.loads(line) for line in (whole / f"rollouts/step_{step:06d}.jsonl").read_text().splitlines()]
        groups = {}
        for row in rows:
            groups.setdefault(row["sample_id"], []).append(row["token_ids"])
        assert len(groups) == 4
        for identity, replies in groups.items():
            if identity in seen:
                again += 1
                assert replies != seen[identity]  # asked anew, not taken over
        seen |= groups
    assert again >= 3


def test_stopped_and_resumed_equals_unbroken_bit_for_bit(whole):
    with pytest.raises(Killed):
        made(whole.parent, "broken", killed_at=5)
    broken = made(whole.parent, "broken")
    assert journal(broken) == journal(whole)
    last = f"checkpoints/global_step_{STEPS}"
    assert (broken / last / "trainer.json").read_bytes() == (whole / last / "trainer.json").read_bytes()
    assert json.loads((whole / last / "trainer.json").read_text())["course"]["failed"]
    ours, theirs = (load_file(folder / last / "model" / "model.safetensors") for folder in (broken, whole))
    assert all(ours[name].equal(theirs[name]) for name in theirs)


def test_the_checkpoint_of_a_run_is_measured(whole, monkeypatch, capsys):
    out = whole.parent / "of_run.jsonl"
    arguments = ("--attempts", "2", "--out", str(out), "--split", "val", "--run", str(whole), "--json")
    code, _, err = run(monkeypatch, capsys, "data", "difficulty", str(whole / "recipe.yaml"), *arguments)
    assert code == 0, err
    header, *rows = map(json.loads, out.read_text().splitlines())
    assert header["weights"] == str(whole / f"checkpoints/global_step_{STEPS}/model") and len(rows) == 2
    assert len(header["weights_sha256"]) == 64 and header["split"] == "val"


def test_preflight_counts_the_band_and_refuses_a_file_of_other_samples(tmp_path):
    given = settings(tmp_path, "x")
    plan = preflight.check(given)
    assert "curriculum: 19 of 24 training samples with a pass rate from 0.1 to 0.9" in "\n".join(plan.warnings)
    assert _card(plan, [])["data_sha256"]["pass_rates"] == plan.measured.sha256  # a resume with another file is refused
    rates = tmp_path / "rates.jsonl"
    rates.write_text("".join(rates.read_text().splitlines(keepends=True)[:20]))
    with pytest.raises(MedrlError, match="4 of 24 samples have no measured rate: phantom/count/20, phantom/count/21"):
        preflight.check(given)
    rates.unlink()
    with pytest.raises(MedrlError, match=r"curriculum\.pass_rates .*rates\.jsonl: no such file"):
        preflight.check(given)
