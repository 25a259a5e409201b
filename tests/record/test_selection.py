"""Which rollouts a page shows: whole groups of steps over the whole run, whatever they earned."""

import json

import pytest

from medrl.errors import MedrlError
from medrl.record.album import own_name, write_album
from medrl.record.selection import select


def stored(run, steps, questions, group, *, reward=0.0, pictured=None):
    """Rollout files; `pictured`: steps with a zip, of the first three questions."""
    folder = run / "rollouts"
    folder.mkdir(parents=True, exist_ok=True)
    for step in steps:
        rows = [
            {"sample_id": f"s{step}-{question}", "attempt": attempt, "reward": reward, "images": [f"images/{question:016x}.png"]}
            for question in range(questions)
            for attempt in range(group)
        ]  # fmt: skip
        (folder / f"step_{step:06d}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if step in (pictured or ()):
            names = [own_name(f"images/{question:016x}.png") for question in range(3)]
            write_album(folder / f"step_{step:06d}.zip", dict.fromkeys(names, b"x"))
    return run


def chosen(run, most=64, step=None):
    found = select(run, most, step, [])
    return [(group.step, group.number, len(group.rows)) for group in found.groups], found


def test_a_small_run_is_shown_whole_in_its_order(tmp_path):
    groups, found = chosen(stored(tmp_path, [1, 2, 3], 2, 4))
    assert groups == [(step, number, 4) for step in (1, 2, 3) for number in (1, 2)]
    assert (found.shown, found.rollouts, found.steps, found.recorded_steps) == (24, 24, (1, 2, 3), 3)


def test_a_large_run_gives_whole_groups_of_steps_from_its_first_to_its_last(tmp_path):
    groups, found = chosen(stored(tmp_path, range(1, 101), 16, 8))
    assert found.steps == (1, 34, 67, 100)
    assert [step for step, _, _ in groups] == [1, 1, 34, 34, 67, 67, 100, 100]
    assert {rows for _, _, rows in groups} == {8}
    assert (found.shown, found.rollouts, found.recorded_steps) == (64, 4 * 128, 100)


def test_the_choice_does_not_look_at_rewards(tmp_path):
    poor, rich = (stored(tmp_path / str(n), range(1, 9), 16, 8, reward=n) for n in (0.0, 1.0))
    assert chosen(poor)[0] == chosen(rich)[0]


def test_questions_are_not_simply_the_first_ones(tmp_path):
    groups, _ = chosen(stored(tmp_path, [1], 64, 4), most=32)
    assert [number for _, number, _ in groups] != list(range(1, 9))


def test_steps_and_questions_with_kept_pictures_come_first(tmp_path):
    run = stored(tmp_path, range(1, 21), 16, 8, pictured=(1, 10, 20))
    groups, found = chosen(run)
    assert found.steps == (1, 10, 20)
    assert all(number <= 3 for _, number, _ in groups)
    assert {step for step, _, _ in chosen(run, step=5)[0]} == {5}  # asked for by name, pictures or not


def test_a_group_larger_than_the_page_is_cut_and_says_so(tmp_path):
    groups, found = chosen(stored(tmp_path, [1], 3, 100))
    assert groups[0][2] == 64 and len(groups) == 1
    assert found.groups[0].left_out == 36


def test_numbers_of_questions_stay_when_another_choice_is_made(tmp_path):
    run = stored(tmp_path, range(1, 9), 16, 8)
    few, many = chosen(run, most=16)[1], chosen(run, most=200)[1]
    named = {(group.step, group.number): group.rows[0]["sample_id"] for group in many.groups}
    for group in few.groups:
        assert named.get((group.step, group.number), group.rows[0]["sample_id"]) == group.rows[0]["sample_id"]
        assert group.rows[0]["sample_id"] == f"s{group.step}-{group.number - 1}"


@pytest.mark.parametrize(
    ("steps", "more", "message"),
    [
        ([], {}, r"no rollouts yet; expected .*rollouts/step_000001.jsonl"),
        ([2, 4], {"step": 3}, "step 3 has no rollouts; recorded are 2 steps from 2 to 4"),
        ([1], {"most": 0}, "--most 0: expected at least 1"),
    ],
)
def test_what_cannot_be_shown_is_an_error_that_says_what_there_is(tmp_path, steps, more, message):
    with pytest.raises(MedrlError, match=message):
        chosen(stored(tmp_path, steps, 2, 2), **more)


def test_files_that_hold_nothing_are_an_error_and_cut_lines_are_noted(tmp_path):
    path = stored(tmp_path, [1], 2, 2) / "rollouts/step_000001.jsonl"
    whole = path.read_text()
    path.write_text(whole[:-20])
    problems: list[str] = []
    assert select(tmp_path, 64, None, problems).shown == 3
    assert problems == ["step_000001.jsonl: 1 line could not be read; they are left out."]
    path.write_text("")
    with pytest.raises(MedrlError, match="nothing can be read in step 1"):
        select(tmp_path, 64, None, [])
