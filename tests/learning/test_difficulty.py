"""Pass rates measured by real generation: equal after any stop, refused where they would mean something else."""

import json

import pytest
from makers import recipe
from omegaconf import OmegaConf
from test_cli import run

from medrl import preflight
from medrl.errors import MedrlError
from medrl.learning.difficulty import measure, to_measure
from medrl.recipe import to_yaml

# graded by the reply's length, so that a model without any training is right now and then; some replies have no grade
REWARD = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None, gives_up=0):
    if gives_up and len(solution_str) % gives_up == 0:
        raise ValueError("no grade for this length")
    return len(solution_str) % 3 / 2
"""
SAMPLES, ATTEMPTS = 7, 4


def settings(folder, **changes):
    (folder / "reward.py").write_text(REWARD)
    sections = {
        "rewards": {"answer": {"use": str(folder / "reward.py")}},
        "data": {"train_options": {"n": SAMPLES}},
        "engine": {"rows_at_once": 3 * ATTEMPTS},  # portions of three samples
        "sampling": {"max_new_tokens": 5},
        "training": {"steps": 1, "prompts_per_step": 4},
    }
    return recipe(folder, "x", **{**sections, **changes})


def measured(folder, name="rates.jsonl", attempts=ATTEMPTS, seen=None, **changes):
    plan = preflight.check(to_measure(settings(folder, **changes)))
    out = folder / name
    given = {"progress": lambda what, done, total: seen.append(done)} if seen is not None else {}
    measure(plan, out, attempts=attempts, **given)
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("difficulty"))


def test_a_line_a_sample_and_a_header_that_says_what_made_it(whole):
    header, *rows = map(json.loads, whole.read_text().splitlines())
    assert (header["samples"], header["attempts"], header["temperature"], header["model"]) == (7, 4, 1.0, "tiny")
    assert len(header["data_sha256"]) == len(header["recipe_sha256"]) == len(header["prompt_template_sha256"]) == 64
    assert [row["sample_id"] for row in rows] == [f"phantom/count/{number}" for number in range(SAMPLES)]
    for row in rows:
        assert row["pass_rate"] == row["right"] / 4 and row["missing"] == 0 and 0 < row["mean_tokens"] <= 5
        assert row["right"] / 4 <= row["mean_accuracy"] <= (4 + row["right"]) / 8  # half right is not right: above 0.5
    assert len({row["pass_rate"] for row in rows}) > 1  # a grader that says one thing would pass everything above


@pytest.mark.parametrize("keep", [0, 2, 5, 8])
def test_stopped_anywhere_and_run_again_is_the_file_of_an_unbroken_measuring(whole, keep):
    """`keep`: lines that were written, the header among them; then half a line."""
    lines = whole.read_text().splitlines(keepends=True)
    half = lines[keep][: len(lines[keep]) // 2] if keep < len(lines) else ""
    (whole.parent / "again.jsonl").write_text("".join(lines[:keep]) + half)
    seen = []
    again = measured(whole.parent, "again.jsonl", seen=seen)
    assert again.read_bytes() == whole.read_bytes()
    assert seen[0] == {0: 0, 2: 0, 5: 3, 8: 7}[keep] and seen[-1] == SAMPLES


def test_a_file_of_another_measuring_or_of_something_else_is_kept(whole, tmp_path):
    before = whole.read_bytes()
    for changes, told in (
        ({"attempts": 2}, "attempts: 4 -> 2"),
        ({"sampling": {"max_new_tokens": 5, "temperature": 0.5}}, "temperature: 1.0 -> 0.5"),
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"data": {"train_options": {"n": SAMPLES, "seed": 1}}}, "data_sha256"),
    ):
        with pytest.raises(MedrlError, match="was measured with something else") as caught:
            measured(whole.parent, **changes)
        assert told in str(caught.value)
    assert whole.read_bytes() == before
    (tmp_path / "rates.jsonl").write_text('{"my": "notes"}\n')
    with pytest.raises(MedrlError, match="nothing is overwritten"):
        measured(tmp_path)


def test_attempts_without_a_grade_count_for_nothing_and_too_many_stop_the_measuring(tmp_path):
    reward = {"use": str(tmp_path / "reward.py"), "kwargs": {"gives_up": 5}}
    with pytest.raises(
        MedrlError, match=r"could not be graded; scoring.max_missing=0\.05(.|\n)*no grade for this length"
    ):
        measured(tmp_path, "none.jsonl", rewards={"answer": reward})
    out = measured(tmp_path, rewards={"answer": reward}, scoring={"max_missing": 1.0})
    rows = [json.loads(line) for line in out.read_text().splitlines()[1:]]
    assert any(0 < row["missing"] < 4 for row in rows)
    for row in rows:
        graded = 4 - row["missing"]
        assert row["pass_rate"] == (row["right"] / graded if graded else None)


def test_a_question_that_no_reward_judges_is_refused(tmp_path):
    (tmp_path / "other.py").write_text(
        "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n    return 1\n"
    )
    rewards = {
        "answer": {"use": str(tmp_path / "reward.py"), "kinds": ["box"]}, "form": {"use": str(tmp_path / "other.py")},
    }  # fmt: skip
    with pytest.raises(MedrlError, match="no reward says whether an answer of kind count is right"):
        measured(tmp_path, rewards=rewards)


def test_the_command_prints_the_bands_and_keys_that_select_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(to_yaml(settings(tmp_path, curriculum={"pass_rates": "not_yet.jsonl"})))
    given = OmegaConf.load(tmp_path / "mine.yaml")
    given.runs_dir = "runs"
    OmegaConf.save(given, tmp_path / "mine.yaml")
    arguments = ("data", "difficulty", "mine.yaml", "--attempts", "4", "--out", "rates.jsonl")
    code, out, err = run(monkeypatch, capsys, *arguments, "--json")
    told = json.loads(out)
    assert code == 0 and told["samples"] == SAMPLES, err
    plan = json.loads((tmp_path / told["plan"]).read_text())
    assert sum(len(band["sample_ids"]) for band in plan["bands"].values()) == SAMPLES
    assert plan["bands"]["rl"]["count"] == len(plan["bands"]["rl"]["sample_ids"]) >= 2
    code, out, _ = run(monkeypatch, capsys, *arguments)
    assert code == 0 and "never right" in out and "k=4" in out and "0 right of 4 does not mean never" in out
    keys = [*told["train_on_rl"], "training.prompts_per_step=2"]
    code, out, err = run(monkeypatch, capsys, "check", "mine.yaml", *keys, "--json")
    band = f"curriculum: {plan['bands']['rl']['count']} of 7 training samples with a pass rate from 0.25 to 0.75"
    assert code == 0 and any(line.startswith(band) for line in json.loads(out)["warnings"]), err
    code, _, err = run(monkeypatch, capsys, *arguments, "--split", "test")
    assert code == 2 and "--split test: expected train or val" in err
