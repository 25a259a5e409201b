"""What another reward would have changed, counted by hand on two groups of two steps."""

import json

import pytest
from makers import RECIPE, samples
from omegaconf import OmegaConf
from typer.testing import CliRunner

from medrl.cli import app
from medrl.errors import MedrlError
from medrl.evaluation.rescore import facts_of, rescore, write
from medrl.recipe import recipe_from

WORDS = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    if solution_str == "broken":
        raise RuntimeError("server away")
    return {"score": {"good": 1.0, "fair": 0.5}.get(solution_str, 0.0), "length": len(solution_str)}
"""
# (step, question, attempt, reply, reward, advantage, why it was missing); the old reward paid length
ROWS = [
    (1, 0, 0, "good", 0.4, -1.0, {}), (1, 0, 1, "fair too", 0.8, 0.5, {}), (1, 0, 2, "terrible", 0.8, 0.5, {}),
    (2, 0, 0, "good", 0.4, 1.0, {}), (2, 0, 1, "bad", 0.3, -1.0, {}), (2, 0, 2, "broken", 0.6, 0.0, {}),
    (2, 1, 0, "fair", 0.4, 0.0, {}), (2, 1, 1, "poor", 0.4, 0.0, {}), (2, 1, 2, "fair", None, None, {"old": "away"}),
]  # fmt: skip


def row_of(step, question, attempt, reply, reward, advantage, missing, sample):
    return {
        "step": step, "sample_id": sample.id, "attempt": attempt, "kind": sample.kind, "question": sample.question,
        "options": None, "ground_truth": sample.ground_truth, "truth_in_model_frame": sample.ground_truth,
        "image_sizes_px": [[112, 112]], "model_sizes_px": [[112, 112]], "frame": "px_model", "prompt": "?",
        "reply": reply, "tokens": 3, "token_ids": [1, 2, 3], "end_reason": "eos", "reward": reward,
        "scores": {} if reward is None else {"old/score": reward}, "missing": missing, "advantage": advantage,
    }  # fmt: skip


@pytest.fixture
def given(tmp_path):
    (tmp_path / "words.py").write_text(WORDS)
    return {
        **RECIPE, "runs_dir": str(tmp_path), "rewards": {"words": {"use": str(tmp_path / "words.py")}},
        "algorithm": {"group_size": 3, "advantage": "dr_grpo"},
    }  # fmt: skip


@pytest.fixture
def run(tmp_path, given):
    folder = tmp_path / "run"
    (folder / "rollouts").mkdir(parents=True)
    (folder / "eval").mkdir()
    both = samples(2)
    for step in (1, 2):
        rows = [row_of(*row, both[row[1]]) for row in ROWS if row[0] == step]
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        (folder / "rollouts" / f"step_{step:06d}.jsonl").write_text(text)
    OmegaConf.save(OmegaConf.create(given), folder / "recipe.yaml")
    return folder


def test_what_changed_counted_by_hand(run, given):
    found = rescore(run, recipe_from(given, "some.yaml", "some"))
    facts = facts_of(found)
    assert [one.rollout.reward for one in found.rollouts] == [1.0, 0.0, 0.0, 1.0, 0.0, None, 0.5, 0.0, 0.5]
    # dr_grpo without the missing: step 1: mean 1/3; step 2: mean 1/2 of two, mean 1/3 of three
    advantages = [2 / 3, -1 / 3, -1 / 3, 0.5, -0.5, None, 1 / 6, -1 / 3, 1 / 6]
    assert [one.rollout.advantage for one in found.rollouts] == [
        value if value is None else pytest.approx(value, abs=1e-6) for value in advantages
    ]
    assert facts["rollouts"] == 9 and facts["steps"] == [1, 2]
    assert facts["rewards"]["reward"] == {
        "old": pytest.approx(4.1 / 8), "new": pytest.approx(3.0 / 8), "scored_old": 8, "scored_new": 8,
        "changed": 7,
    }  # fmt: skip
    assert facts["rewards"]["words"] == {
        "old": None, "new": pytest.approx(3.0 / 8), "scored_old": 0, "scored_new": 8, "changed": 0,
    }  # fmt: skip
    assert facts["rewards"]["old"]["scored_new"] == 0
    assert facts["missing"] == {
        "old": 1, "new": 1, "reasons": ["1 x rewards.words: RuntimeError: server away (words.py line 4)"],
    }  # fmt: skip
    # group (1, 0): 0.4 0.8 0.8 -> 1 0 0: two pairs inverted, tau -1; (2, 0): 0.4 0.3 -> 1 0: the same; (2, 1): tie broken
    assert facts["order"] == {
        "groups": 3, "best_changed": 2, "order_changed": 2, "pairs": 5, "inverted_pairs": 2, "kendall_tau": 0.0,
    }  # fmt: skip
    assert facts["advantages"] == {"compared": 7, "flipped": 3, "silenced": 0, "woken": 2}
    assert [(one["step"], one["inverted_pairs"], one["best_old"], one["best_new"]) for one in facts["top_groups"]] == [
        (1, 2, [1, 2], [0]), (2, 0, [0, 1], [0]),
    ]  # fmt: skip
    moved = facts["top_rollouts"]
    assert [round(abs(one["new"] - one["old"]), 9) for one in moved] == [0.8, 0.8, 0.6, 0.6, 0.4, 0.3, 0.1]
    assert moved[0]["attempt"] == 1 and moved[0]["scores"] == {"old": [0.8, None], "words": [None, 0.0]}
    assert len(facts_of(found, top=1)["top_rollouts"]) == len(facts_of(found, top=1)["top_groups"]) == 1
    json.dumps(facts, allow_nan=False)


def test_gdpo_is_whitened_step_by_step(run, given):
    given["algorithm"]["advantage"] = "gdpo"
    found = rescore(run, recipe_from(given, "some.yaml", "some")).rollouts
    for step, deviation in ((1, 1.0), (2, 1.0)):
        values = [one.rollout.advantage for one in found if one.row["step"] == step and one.rollout.reward is not None]
        mean = sum(values) / len(values)
        spread = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
        assert spread == pytest.approx(deviation, abs=1e-3) and mean == pytest.approx(0.0, abs=1e-6)


def test_an_estimator_beside_the_recipe_is_found_and_remembers(run, given, tmp_path):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "mine.py").write_text(
        "from medrl.learning.estimator import Estimate\n\n"
        "def compute_advantages(rewards, state):\n"
        "    return Estimate(rewards * 0 + state.get('step', 1), {'step': state.get('step', 1) + 1})\n"
    )
    given["algorithm"]["advantage"] = "mine.py"
    found = rescore(run, recipe_from(given, "tests", "new"), tmp_path / "lab").rollouts
    assert [one.rollout.advantage for one in found if one.rollout.reward is not None] == [1.0] * 3 + [2.0] * 5


def test_gates_and_masked_attempts_of_the_new_recipe_count(run, given, tmp_path):
    (tmp_path / "short.py").write_text(
        "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n"
        "    return float(extra_info['response_tokens'] == 3 and 'oo' in solution_str)\n"
    )
    given["rewards"]["short"] = {"use": str(tmp_path / "short.py"), "weight": 0.0}
    given["rewards"]["words"]["gate"] = "short"
    given["algorithm"]["mask_over_turns"] = True
    path = run / "rollouts" / "step_000001.jsonl"
    path.write_text(path.read_text().replace('"eos"', '"turns"', 1))
    found = rescore(run, recipe_from(given, "some.yaml", "some"))
    assert [one.rollout.reward for one in found.rollouts] == [1.0, 0.0, 0.0, 1.0, 0.0, None, 0.0, 0.0, 0.0]
    assert found.rollouts[6].rollout.scores == {
        "words/score": 0.5,
        "words/length": 4,
        "words/gated": 1.0,
        "short/score": 0.0,
    }
    assert found.rollouts[0].rollout.advantage is None and found.rollouts[1].rollout.advantage < 0


def test_groups_that_were_left_out_of_a_step_are_scored_and_stay_left_out(run, given):
    path = run / "rollouts" / "step_000001.jsonl"
    path.write_text(
        "".join(f"{json.dumps({**json.loads(row), 'filtered': True})}\n" for row in path.read_text().split("\n")[:-1])
    )
    found = rescore(run, recipe_from(given, "some.yaml", "some"))
    assert [one.rollout.reward for one in found.rollouts[:4]] == [1.0, 0.0, 0.0, 1.0]
    left_out = [one.rollout.advantage is None for one in found.rollouts if one.row["step"] == 1]
    assert left_out and all(left_out) and found.rollouts[-1].rollout.advantage is not None


def test_a_group_is_scored_as_one_wherever_a_portion_ends(run, given, tmp_path, monkeypatch):
    (tmp_path / "among.py").write_text("def compute_group_scores(group):\n    return [len(group)] * len(group)\n")
    given["rewards"] = {"among": {"use": str(tmp_path / "among.py")}}
    monkeypatch.setattr("medrl.evaluation.rescore.AT_ONCE", 2)
    found = rescore(run, recipe_from(given, "some.yaml", "some")).rollouts
    assert [one.rollout.reward for one in found] == [3.0] * 9


def test_validations_have_groups_and_no_advantages(run, given):
    both = list(samples(2))
    rows = [row_of(*row, both[row[1]]) | {"advantage": None} for row in ROWS if row[0] == 1]
    (run / "eval" / "step_000020.json").write_text(json.dumps({"step": 20, "summary": {}, "rows": rows}))
    given = {**given, "data": {**given["data"], "val": "train", "val_options": {"n": 2}}}
    facts = facts_of(rescore(run, recipe_from(given, "some.yaml", "some"), held_out=True))
    assert facts["advantages"] is None and facts["order"]["groups"] == 1 and facts["order"]["inverted_pairs"] == 2


def test_a_recipe_without_a_reward_for_a_question_is_told(run, given):
    given["rewards"]["words"]["kinds"] = ["box"]
    with pytest.raises(MedrlError, match="no reward of this recipe applies to"):
        rescore(run, recipe_from(given, "some.yaml", "some"))


def test_every_rollout_can_be_written(run, given, tmp_path):
    found = rescore(run, recipe_from(given, "some.yaml", "some"))
    write(found, tmp_path / "new" / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "new" / "out.jsonl").read_text().splitlines()]
    assert len(lines) == 9 and lines[0]["old"]["reward"] == 0.4 and lines[0]["new"]["reward"] == 1.0
    assert lines[0]["new"]["scores"] == {"words/score": 1.0, "words/length": 4.0}
    assert "server away" in lines[5]["new"]["missing"]["words"] and lines[8]["old"]["missing"] == {"old": "away"}


def test_the_command(run, tmp_path):
    ask = CliRunner()
    told = ask.invoke(app, ["reward", "rescore", str(run), str(run / "recipe.yaml"), "--top", "2"])
    assert told.exit_code == 0, told.output
    flat = " ".join(told.output.split())
    assert "9 rollouts of steps 1 to 2" in flat and "another best attempt in 2" in flat
    assert (
        "2 of 5 pairs inverted" in flat and "of 7, 3 changed sign" in flat and "1 x rewards.words: RuntimeError" in flat
    )
    out = tmp_path / "out.jsonl"
    changed = ["rewards.words.weight=2.0", "--json", "--out", str(out)]
    told = ask.invoke(app, ["reward", "rescore", str(run), str(run / "recipe.yaml"), *changed])
    facts = json.loads(told.output)
    assert facts["rewards"]["reward"]["new"] == pytest.approx(6.0 / 8) and len(out.read_text().splitlines()) == 9
    told = ask.invoke(app, ["reward", "rescore", str(tmp_path), str(run / "recipe.yaml")])
    assert isinstance(told.exception, MedrlError) and "not a run directory" in str(told.exception)


def test_an_estimator_that_needs_entropies_finds_those_that_were_stored(run, given, tmp_path):
    (run / "eval" / "step_000002.json").write_text(
        json.dumps({"step": 2, "summary": {}, "rows": [row_of(*ROWS[0], samples(2)[0])]})
    )
    given = {**given, "data": {**given["data"], "val": "train", "val_options": {"n": 2}}}
    changed = recipe_from({**given, "algorithm": {"advantage": "uadt", "group_size": 3}}, "some.yaml", "some")
    with pytest.raises(MedrlError, match="have no entropy"):
        rescore(run, changed)
    assert len(rescore(run, changed, held_out=True).rollouts) == 1  # has no advantages, so needs none
    for path in sorted((run / "rollouts").glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows = [{**row, "entropy": 0.5 + 0.1 * row["attempt"]} if row["reward"] is not None else row for row in rows]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = rescore(run, changed).rollouts
    assert [one.rollout.advantage is None for one in found] == [False] * 5 + [True] * 1 + [False] * 2 + [True]
