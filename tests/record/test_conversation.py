"""A stored rollout as the page shows it: done is what the environment confirmed, worth is what adds up."""

import pytest

from medrl.record.conversation import view_attempt

WEIGHTS = {"answer": 1.0, "tool": 0.5}


def acting(box, state="done", **more):
    turn = {"text": "<tool_call>x</tool_call>", "asked": {"name": "zoom", "arguments": {"bbox_2d": [1, 2, 3, 4]}}, "tokens": [9, 5],
            "confirmed": None, "fault": None, "observation": "", "images": 1}  # fmt: skip
    if state == "done":
        turn["confirmed"] = {"tool": "zoom", "source": 0, "image": 0, "box_px_original": box}
    elif state == "refused":
        turn |= {"fault": "no such box", "observation": "Error: no such box", "images": 0}
    else:
        turn |= {"observation": None, "images": 0}
    return {**turn, **more}


def row(*turns, **more):
    last = {
        "text": "<think>seen</think><answer>B</answer>",
        "asked": None,
        "confirmed": None,
        "observation": None,
        "tokens": [4, 0],
    }
    return {
        "step": 3, "attempt": 1, "kind": "choice", "image_sizes_px": [[200, 100]], "reply": last["text"],
        "turns": [*turns, last], "tokens": sum(sum(turn["tokens"]) for turn in [*turns, last]), "end_reason": "eos",
        "reward": 1.5, "scores": {"answer/score": 1.0, "answer/answered": 1.0, "tool/score": 1.0}, "advantage": 0.7, **more,
    }  # fmt: skip


def view(found, find={}.get, characters=1000):
    return view_attempt(found, "3-1-1", "answer/score", WEIGHTS, characters, find)


def test_actions_are_done_refused_or_not_done_and_only_done_ones_have_a_box():
    found = view(
        row(acting([0, 0, 50, 50]), acting(None, "refused"), acting([100, 50, 200, 100]), acting(None, "left"))
    )
    assert [turn.act and turn.act.state for turn in found.turns] == ["done", "refused", "done", "not done", None]
    assert [turn.act.number for turn in found.turns[:4]] == [1, None, 2, None]
    assert found.turns[1].act.reason == "no such box" and found.turns[3].act.reason == "the model ended its reply"
    assert [(mark.number, mark.turn) for mark in found.marks] == [(1, 1), (2, 3)]
    box = found.marks[1].outline
    assert (box.x, box.y, box.width, box.height) == (50, 50, 50, 50)  # per cent of 200 x 100 pixels
    assert found.tool == ("done", "refused", "not done")
    assert (found.acts_done, found.acts_refused) == (2, 1)


def test_a_region_is_told_in_pixels_as_a_share_and_by_its_overlap_with_the_lesion():
    facts = dict(view(row(acting([0, 0, 50, 50]), lesion_boxes=[[25, 0, 75, 50], [90, 90, 99, 99]])).turns[0].act.facts)
    assert facts == {
        "pixels": "x 0–50, y 0–50",
        "share of the picture": "12 %",
        "overlap with the lesion": "IoU 0.33",
    }


def test_a_repeated_region_and_the_whole_picture_are_said_to_show_nothing_new():
    found = view(row(acting([0, 0, 50, 50]), acting([0, 0, 50, 49]), acting([0, 0, 200, 100]), acting([9, 50, 50, 90])))
    assert ["new" in dict(turn.act.facts) for turn in found.turns[:4]] == [False, True, True, False]


def test_numbers_of_marks_that_start_in_one_corner_stand_beside_each_other():
    found = view(row(acting([0, 0, 50, 50]), acting([4, 2, 90, 90]), acting([0, 3, 20, 20]), acting([100, 0, 150, 50])))
    assert [mark.shift for mark in found.marks] == [0, 1, 2, 0]


def test_pictures_follow_their_turns_and_a_lost_one_leaves_its_place():
    shown = [{"name": name, "size_px": [64, 32]} for name in ("a", "gone", "c")]
    turns = [acting([0, 0, 50, 50]), acting([0, 0, 9, 9], images=2)]
    found = view(row(*turns, shown=shown), {"a": "data:a", "c": "data:c"}.get)
    shots = [[(shot.number, shot.uri, shot.size) for shot in turn.shots] for turn in found.turns]
    size = "64 × 32 px"
    assert shots == [[(1, "data:a", size)], [(2, None, size), (3, "data:c", size)], []]
    unkept = view(row(*turns))
    assert [len(turn.shots) for turn in unkept.turns] == [1, 2, 0] and not unkept.turns[0].shots[0].uri


def test_own_tokens_are_those_the_environment_did_not_write():
    found = view(row(acting([0, 0, 50, 50]), acting(None, "refused")))
    assert (found.tokens, found.own_tokens) == (9 + 5 + 9 + 5 + 4, 9 + 9 + 4)
    single = view({"reply": "<answer>B</answer>", "tokens": 12, "scores": {}})
    assert (single.tokens, single.own_tokens, len(single.turns), single.turns[0].tokens) == (12, 12, 1, 12)
    assert single.tool == ("none",)


@pytest.mark.parametrize(
    ("changes", "adds_up"),
    [
        ({}, True),
        ({"reward": 1.4}, False),  # some other sum
        ({"reward": None}, False),
        ({"scores": {"answer/score": 1.0, "tool/score": 1.0, "mine/score": 0.0}}, False),  # no weight known
        ({"missing": {"tool": "timeout"}}, False),
        ({"scores": {}}, False),
    ],
)
def test_contributions_are_shown_only_where_they_make_the_reward(changes, adds_up):
    assert view(row(**changes)).adds_up is adds_up


def test_a_missing_reward_says_why_and_is_no_zero():
    found = view(row(reward=None, advantage=None, scores={"tool/score": 1.0}, missing={"answer": "timeout after 5 s"}))
    assert [(one.name, one.score, one.missing) for one in found.components] == [
        ("tool", "1", ""),
        ("answer", "missing", "timeout after 5 s"),
    ]
    assert found.verdict == "ungraded"


def test_a_long_text_keeps_its_beginning_and_its_end():
    found = view({"reply": "<think>" + "a" * 5000 + "</think><answer>B</answer>"}, characters=300)
    text = "".join(text for _, text in found.turns[0].parts)
    assert text.startswith("<think>aaa") and text.endswith("<answer>B</answer>") and len(text) < 400
    assert "characters left out" in text
    assert found.gist == "B"


ODD = [
    None,
    7,
    -1,
    "x",
    "",
    [1],
    [[None]],
    {"a": [None]},
    10**400,
    float("nan"),
    [10**400, 0, 1, 1],
    {"box_px_original": "x"},
]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_a_field_of_the_wrong_type_is_as_good_as_absent(odd):
    whole = row(
        acting([0, 0, 50, 50]),
        acting(None, "refused"),
        shown=[{"name": "a", "size_px": [1, 1]}],
        lesion_boxes=[[0, 0, 9, 9]],
    )
    for name in whole:
        view({**whole, name: odd})
    for name in whole["turns"][0]:
        view({**whole, "turns": [{**whole["turns"][0], name: odd}]})
    for name in ("tool", "source", "box_px_original", "mine"):
        view({**whole, "turns": [acting([0, 0, 50, 50], confirmed={"box_px_original": [0, 0, 9, 9], name: odd})]})
