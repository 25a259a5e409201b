"""`medrl reward check` and `attack` as a user runs them: tables, JSON, and the exit codes 0, 1 and 2."""

import json
import sys

import pytest

from medrl.cli import main

REWARD = """
EXAMPLE = {"ground_truth": "B", "extra_info": {"kind": "choice", "options": {"A": "MRI", "B": "CT"}},
           "right": "<answer>B</answer>", "wrong": "<answer>A</answer>"}
def compute_score(data_source, solution_str, ground_truth, extra_info=None, anywhere=False):
    return float(ground_truth in solution_str if anywhere else solution_str == f"<answer>{ground_truth}</answer>")
"""
RECIPE = """
model: {path: tiny}
data: {adapter: phantom, train: train, val: val, options: {task: count, n: 8}}
rewards:
  answer: {use: rewards/count.py, weight: 1.0}
  sly: {use: mine.py, weight: 0.5, gate: answer, kwargs: {anywhere: true}}
training: {steps: 1, prompts_per_step: 4}
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(REWARD)
    (tmp_path / "mine.yaml").write_text(RECIPE)

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["medrl", "reward", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return command


def test_check_prints_a_table_or_json(run):
    code, out, _ = run("check", "mine.py")
    assert code == 0 and "right above wrong" in out and "fault" not in out
    code, out, _ = run("check", "mine.py", "colour=red", "--json")
    found = json.loads(out)
    assert code == 1 and found["faults"] == 1 and "colour" in found["checks"][0]["told"]


def test_attack_says_who_won(run):
    code, out, _ = run("attack", "mine.py", "--json")
    found = json.loads(out)
    assert code == 0 and found["beaten"] == 0 and found["attacks"] > 30
    code, out, _ = run("attack", "mine.py", "anywhere=true")
    assert code == 1 and "decoy last" in out and "won" in out.splitlines()[-1]


def test_a_users_mistake_is_one_paragraph_and_exit_code_2(run):
    for arguments, told in (
        (("check", "no_such.py"), "no such file"),
        (("attack", "mine.py", "red"), "expected key=value"),
        (("attack", "mine.py", "colour=red"), "unexpected keyword argument 'colour'"),
        (("attack", "no_such.yaml"), "no such recipe"),
    ):
        code, out, err = run(*arguments)
        assert code == 2 and told in err and "Traceback" not in err and not out, err


def test_a_recipe_is_attacked_as_the_sum_that_training_pays(run):
    code, out, _ = run("attack", "mine.yaml", "--rows", "1", "--json")
    found = json.loads(out)
    assert code == 0 and "1 of kind count" in found["about"], found  # the gate stays shut where the answer is wrong
    code, out, _ = run("attack", "mine.yaml", "rewards.sly.gate=null", "--rows", "1", "--json")
    beaten = [one for one in json.loads(out)["findings"] if one["verdict"] == "beaten"]
    assert code == 1 and beaten and all(one["through"] == ["sly"] for one in beaten)


def test_a_group_reward_is_attacked_with_the_whole_group(run):
    code, out, _ = run("attack", "rewards/curiosity.py", "--json")
    assert code == 0 and json.loads(out)["attacks"] > 30
