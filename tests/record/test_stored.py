"""What a run stored is enough to score it again: episodes, groups, frames and advantages come out as they were."""

import json
from dataclasses import replace

import pytest
from makers import recipe, samples, tiny
from rollout_runs import ENV, REWARDS, single_turn_run, zoom_run

from medrl.errors import MedrlError
from medrl.evaluation.rescore import rescore
from medrl.record.stored import read_stored
from medrl.rollout.refused import TOKENS
from medrl.scoring.given import record_of

GROUPS = {"curious": {"use": "rewards/curiosity.py", "weight": 0.3}, "cost": {"use": "rewards/tool_cost.py"}}
DETAIL = {"adapter": "phantom_detail", "options": {}, "train_options": {"n": 2}, "val_options": {"n": 4}}


@pytest.fixture(scope="module")
def loaded():
    return tiny()


@pytest.fixture(scope="module")
def zoom(tmp_path_factory, loaded):
    """Two groups of eight real episodes."""
    return zoom_run(tmp_path_factory.mktemp("stored"), loaded, steps=(0,))


def rows_of(run, step=1):
    path = run / "rollouts" / f"step_{step:06d}.jsonl"
    return path, [json.loads(line) for line in path.read_text().splitlines()]


def test_the_same_rewards_give_the_same_scores_and_advantages(zoom, tmp_path):
    again = rescore(zoom, recipe(tmp_path, data=DETAIL, rewards=REWARDS, env=ENV))
    assert len(again.rollouts) == 16 and not again.problems
    for one in again.rollouts:
        for key in ("scores", "missing", "reward", "attempt", "end_reason"):
            assert getattr(one.rollout, key) == one.row[key], key
        assert one.rollout.advantage == pytest.approx(one.row["advantage"], abs=1e-6)
    assert len({one.row["advantage"] for one in again.rollouts}) > 4, "the rewards tell attempts apart"
    assert any(one.row["scores"]["tool/score"] for one in again.rollouts), "from what the environment confirmed"


def test_rewards_of_groups_see_the_groups_and_the_environments_records(zoom, tmp_path):
    again = rescore(zoom, recipe(tmp_path, data=DETAIL, rewards=REWARDS | GROUPS, env=ENV))
    groups = {id(one.rollout.prompt): [] for one in again.rollouts}
    for one in again.rollouts:
        groups[id(one.rollout.prompt)].append(one.rollout)
    assert [len(group) for group in groups.values()] == [8] * 2
    assert all(one.rollout.reward is not None for one in again.rollouts)
    record = record_of(again.rollouts[0].rollout)
    assert record["asked"] == [True, False] and record["image_sizes"] == [[448, 448]]
    assert [action["tool"] for action in record["actions"]] == ["zoom"]
    assert sum(again.rollouts[0].rollout.mask) == sum(turn.tokens[0] for turn in again.rollouts[0].rollout.turns)
    curious = {one.rollout.scores["curious/score"] for one in again.rollouts}
    assert len(curious) > 1, "it depends on how many of a group acted"


def test_a_run_without_an_environment_and_its_frames(loaded, tmp_path):
    run = single_turn_run(tmp_path, loaded)
    [one, *_] = read_stored(run, samples(2), False, [])
    assert one.rollout.turns == [] and one.rollout.mask == [1] * len(one.row["token_ids"])
    prompt = one.rollout.prompt
    assert prompt.ground_truth == one.row["truth_in_model_frame"]
    assert prompt.answer_size_px == tuple(one.row["model_sizes_px"][0])


def test_the_size_of_the_frame_follows_the_frame(loaded, tmp_path):
    run = single_turn_run(tmp_path, loaded)
    path, rows = rows_of(run)
    change(path, [{**row, "frame": "norm1000"} for row in rows[:4]] + [without_pictures(row) for row in rows[4:]])
    sizes = {one.row["sample_id"]: one.rollout.prompt.answer_size_px for one in read_stored(run, samples(2), False, [])}
    assert list(sizes.values()) == [(1000, 1000), None]


def without_pictures(row):
    return {**row, "image_sizes_px": [], "model_sizes_px": []}


def change(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def test_a_question_asked_twice_in_a_step_makes_two_groups(loaded, tmp_path):
    run = single_turn_run(tmp_path, loaded, questions=1, group=3)
    path, rows = rows_of(run)
    for twice in (
        rows + rows,
        [row for row in rows for _ in range(2)],
    ):  # as engine local writes them, as verl's order has it
        change(path, twice)
        found = read_stored(run, samples(1), False, [])
        groups = [id(one.rollout.prompt) for one in found]
        assert groups == [groups[0]] * 3 + [groups[3]] * 3 and groups[0] != groups[3]
        assert [one.rollout.attempt for one in found] == [0, 1, 2] * 2


def test_what_might_not_train_is_not_shown_to_a_reward_now_either(loaded, tmp_path):
    run = single_turn_run(tmp_path, loaded, questions=1)
    path, rows = rows_of(run)
    rows[1]["missing"] = {TOKENS: "image_tokens: 3 for 4", "answer": "away"}
    change(path, rows)
    again = rescore(run, recipe(tmp_path, name="other"))
    assert again.rollouts[1].rollout.missing == {TOKENS: "image_tokens: 3 for 4"}
    assert [one.rollout.reward is None for one in again.rollouts] == [False, True, False, False]


@pytest.mark.parametrize(
    "changed, told",
    [
        (lambda given: given[:1], "1 of the 2 samples that its rollouts answer are not in data.train of this recipe: "),
        (lambda given: [given[0], replace(given[1], ground_truth="99")], "ask or answer something else in data.train"),
        (
            lambda given: [given[0], replace(given[1], extra_info={**given[1].extra_info, "options": {"A": "x"}})],
            "ask or",
        ),
    ],
)
def test_a_sample_that_is_gone_or_another_is_an_error(loaded, tmp_path, changed, told):
    run = single_turn_run(tmp_path, loaded)
    with pytest.raises(MedrlError) as caught:
        read_stored(run, changed(samples(2)), False, [])
    assert told in str(caught.value) and samples(2)[1].id in str(caught.value) and "recipe.yaml" in str(caught.value)


def test_damaged_and_old_files(loaded, tmp_path):
    run = single_turn_run(tmp_path, loaded)
    path, rows = rows_of(run)
    path.write_text(path.read_text() + '{"step": 1, "samp')
    problems = []
    assert len(read_stored(run, samples(2), False, problems)) == 8 and "1 line could not be read" in problems[0]
    change(path, [{key: value for key, value in rows[0].items() if key != "frame"}])
    with pytest.raises(MedrlError, match=r"step_000001\.jsonl row 1: no frame\. The run was made by an older medrl"):
        read_stored(run, samples(2), False, [])
    path.unlink()
    with pytest.raises(MedrlError, match=r"rollouts/step_\*\.jsonl: not one stored rollout"):
        read_stored(run, samples(2), False, [])
    with pytest.raises(MedrlError, match=r"eval/step_\*\.json: not one stored rollout"):
        read_stored(run, samples(2), True, [])
