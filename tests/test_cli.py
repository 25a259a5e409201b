"""The commands as a user runs them: one paragraph and exit code 2 for a mistake, and nothing overwritten."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from makers import RECIPE
from omegaconf import OmegaConf
from PIL import Image

from medrl.cli import main
from medrl.data.sample import make_sample, to_row, write_parquet

GOOD_REWARD = "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n    return 1.0\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a recipe over two PNG files in a parquet file, and the working directory set to it."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for number in range(8):
        Image.new("RGB", (112, 112), (20 * number, 40, 60)).save(tmp_path / f"{number}.png")
        rows.append(
            make_sample(
                id=f"t/{number}", data_source="t", question="How many?", images=[{"path": f"{number}.png"}],
                ground_truth=str(number % 3), kind="count", split="train",
            )
        )  # fmt: skip
    write_parquet(rows, tmp_path / "train.parquet")
    (tmp_path / "reward.py").write_text(GOOD_REWARD)
    given = {
        **RECIPE,
        "data": {"root": ".", "train": "train.parquet", "val": "train.parquet"},
        "rewards": {"answer": {"use": "reward.py"}},
        "sft": {"steps": 0},
        "training": {"steps": 2, "prompts_per_step": 4},
    }
    OmegaConf.save(OmegaConf.create(given), tmp_path / "mine.yaml")
    return tmp_path


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["medrl", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_train_view_export_from_a_users_folder(here, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "train", "mine.yaml", "--json")
    summary = json.loads(out.splitlines()[-1])
    assert (code, summary["status"], summary["steps"]) == (0, "completed", 2), err
    assert summary["val_first"]["n"] == 8 and summary["val_last"]["low"] <= summary["val_last"]["reward"]
    folder = Path(summary["run"])
    for name in (
        "recipe.yaml",
        "card.json",
        "metrics.jsonl",
        "report.html",
        "eval/step_000000.json",
        "rollouts/step_000001.jsonl",
    ):
        assert (folder / name).stat().st_size > 0
    names = {key for line in (folder / "metrics.jsonl").read_text().splitlines() for key in json.loads(line)}
    assert {
        "reward/answer/score",
        "val/reward/answer/score",
        "group/zero_spread",
        "policy/entropy",
        "policy/engine_gap",
    } <= names
    code, out, _ = run(monkeypatch, capsys, "view", str(folder), "--step", "2", "--most", "4", "--json")
    seen = json.loads(out)
    assert (code, seen["shown"], seen["steps"], seen["recorded_steps"]) == (0, 4, [2], 2)
    assert all(Path(seen[page]).stat().st_size > 0 for page in ("rollouts", "report"))
    code, _, err = run(monkeypatch, capsys, "view", str(folder), "--step", "9")
    assert code == 2 and "recorded are 2 steps from 1 to 2" in err
    assert run(monkeypatch, capsys, "export", str(folder), "out")[0] == 0
    code, _, err = run(monkeypatch, capsys, "export", str(folder), "out")
    assert code == 2 and "nothing is overwritten" in err
    code, out, _ = run(monkeypatch, capsys, "train", "mine.yaml")
    assert code == 0 and "already complete" in out


def test_a_resume_on_other_data_is_refused_and_a_mended_reward_is_noted(here, monkeypatch, capsys):
    assert run(monkeypatch, capsys, "train", "mine.yaml")[0] == 0
    (here / "runs" / "mine" / "summary.json").unlink()
    (here / "reward.py").write_text(GOOD_REWARD.replace("1.0", "0.5"))
    code, out, _ = run(monkeypatch, capsys, "train", "mine.yaml")
    assert code == 0 and "changed since the run began: reward_sha256" in out
    assert json.loads((here / "runs" / "mine" / "card.json").read_text())["changed_since_start"] == ["reward_sha256"]
    (here / "runs" / "mine" / "summary.json").unlink()
    rewrite(here, ability="other")
    code, _, err = run(monkeypatch, capsys, "train", "mine.yaml")
    assert code == 2 and "the data differs" in err


def test_check_and_data_commands_print_for_scripts(here, monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "check", "mine.yaml", "--json")
    assert code == 0 and json.loads(out)["train_samples"] == 8
    code, out, _ = run(monkeypatch, capsys, "data", "show", "mine.yaml", "--json")
    shown = json.loads(out)
    assert code == 0 and shown["train"]["samples"] == 8 and shown["shared_between_splits"]
    code, out, _ = run(monkeypatch, capsys, "data", "build", "mine.yaml", "built")
    assert code == 0 and (here / "built" / "train.parquet").is_file()
    code, _, err = run(monkeypatch, capsys, "data", "build", "mine.yaml", "built")
    assert code == 2 and "nothing is overwritten" in err


def damage_truncated(here):
    (here / "3.png").write_bytes((here / "3.png").read_bytes()[:150])


def damage_not_an_image(here):
    (here / "3.png").write_text("hello")


def damage_missing(here):
    (here / "3.png").unlink()


def rewrite(here, **changes):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(here / "train.parquet").to_pylist()
    for row in rows:
        row |= changes
    pq.write_table(pa.Table.from_pylist(rows), here / "train.parquet")


def damage_escape(here):
    rewrite(here, images=[{"path": "../secret.png"}])


def damage_no_answer(here):
    rewrite(here, reward_model={"style": "rule", "ground_truth": ""})


def damage_image_count(here):
    rewrite(here, images=[{"path": "1.png"}, {"path": "2.png"}])


def damage_empty(here):
    import pyarrow.parquet as pq

    path = here / "train.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)


def damage_no_parquet(here):
    (here / "train.parquet").write_text("not parquet")


def damage_reward_raises(here):
    (here / "reward.py").write_text(GOOD_REWARD.replace("return 1.0", "raise KeyError('spacing')"))


def damage_reward_signature(here):
    (here / "reward.py").write_text("def compute_score(reply, truth):\n    return 1.0\n")


def damage_reward_import(here):
    (here / "reward.py").write_text("import no_such_module\n")


@pytest.mark.parametrize(
    ("damage", "overrides", "told"),
    [
        (damage_truncated, [], "3.png"),
        (damage_not_an_image, [], "3.png"),
        (damage_missing, [], "3.png"),
        (damage_escape, [], "secret.png"),
        (damage_no_answer, [], "ground_truth is empty"),
        (damage_image_count, [], "1 `<image>` but the row has 2 images"),
        (damage_empty, [], "not one usable sample"),
        (damage_no_parquet, [], "not a readable parquet file"),
        (damage_reward_raises, [], "KeyError: 'spacing'"),
        (damage_reward_signature, [], "cannot be called as"),
        (damage_reward_import, [], "No module named 'no_such_module'"),
        (None, ["sampling.max_prompt_tokens=10"], "longer than sampling.max_prompt_tokens=10"),
        (None, ["model.max_pixel=3"], "did you mean model.max_pixels?"),
        (None, ["algorithm.group_size=1"], "at least 2 are needed"),
        (None, ["data.adapter=vocc"], "no data adapter 'vocc'"),
        (None, ["data.options.colour=red"], "colour"),
        (None, ["training.prompts_per_step=9"], "there are only 8 samples"),
        (None, ["sft.steps=3"], "no demonstration"),
        (None, ["model.path=/no/such/model"], "no processor could be loaded"),
        (None, ["engine.device=cuda"], "finds no CUDA device"),
        (None, ["prompt.style=thinking"], "expected one of grounding, no_think, ophtha_reason, think"),
    ],
)
def test_bad_input_is_one_paragraph_before_anything_is_written(here, monkeypatch, capsys, damage, overrides, told):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    if damage:
        damage(here)
    code, _, err = run(monkeypatch, capsys, "train", "mine.yaml", *overrides)
    assert code == 2 and told in err and 'Traceback (most recent call last):\n  File "' + __file__ not in err, err
    assert err.startswith("medrl: ") and not (here / "runs").exists()


def test_a_reward_that_fails_in_mid_run_stops_it_with_the_commonest_reasons(here, monkeypatch, capsys):
    # right on the trial reply, wrong on what a model really writes
    (here / "reward.py").write_text(
        GOOD_REWARD.replace(
            "return 1.0", "if '<think>A trial' in solution_str: return 1.0\n    raise KeyError('spacing')"
        )
    )
    code, _, err = run(monkeypatch, capsys, "train", "mine.yaml")
    summary = json.loads((here / "runs" / "mine" / "summary.json").read_text())
    assert code == 2 and summary["status"] == "failed" and "rewards.answer: KeyError: 'spacing'" in summary["reason"]
    assert "have no score; scoring.max_missing=0.05" in err


def test_a_picture_lost_in_mid_run_is_left_out_and_counted(here, monkeypatch, capsys):
    # the reward removes a training picture after the checks, while the run is under way
    (here / "reward.py").write_text(
        "from pathlib import Path\n\n\n"
        + GOOD_REWARD.replace(
            "return 1.0", "if 'A trial' not in solution_str: Path('5.png').unlink(missing_ok=True)\n    return 1.0"
        )
    )
    assert run(monkeypatch, capsys, "train", "mine.yaml")[0] == 0
    lines = [json.loads(line) for line in (here / "runs" / "mine" / "metrics.jsonl").read_text().splitlines()]
    assert sum(line.get("data/lost_samples", 0) for line in lines) == 1  # each of 8 samples comes up once in 2 x 4


def test_weights_that_are_not_there_are_named(here, tiny_folder, monkeypatch, capsys):
    import shutil

    shutil.copytree(tiny_folder, here / "half")
    (here / "half" / "model.safetensors").unlink()
    code, _, err = run(monkeypatch, capsys, "train", "mine.yaml", "model.path=half")
    assert code == 2 and "the weights could not be loaded" in err


def test_no_network_and_no_heavy_import_for_help():
    code = (
        "import sys, socket\n"
        "socket.socket.connect = lambda *a: (_ for _ in ()).throw(OSError('network'))\n"
        "import medrl.cli, medrl.recipe\n"
        "assert not {'torch', 'transformers', 'wandb'} & set(sys.modules), 'heavy import'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rows_of_the_fixture_are_verls(here):
    sample = make_sample(id="a", data_source="t", question="q", images=[], ground_truth=3, kind="count", split="x")
    assert set(to_row(sample)) == {"data_source", "prompt", "images", "ability", "reward_model", "extra_info"}


def test_sft_needs_demonstrations_and_says_so_before_it_starts(here, monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, "sft", "mine.yaml", "sft.steps=1", "sft.batch_size=8")
    assert code == 2 and "t/0: no demonstration (extra_info.demonstration)" in err and "… and 3 more" in err
    assert not (here / "runs").exists()
