"""What looking again earns: hand-computed, and only for what the environment confirmed."""

import pytest
from makers import tiny
from playing import ANSWER, call, detail, making, play, zooming

from medrl.plugin import load_plugin
from medrl.recipe import Reward
from medrl.rollout.confirmed import looks
from medrl.scoring.rewards import load_rewards, score_rollouts

VITAR = {
    "answer": Reward("rewards/choice.py", weight=1.0),
    "thought": Reward("rewards/turn_format.py", weight=0.2),
    "format": Reward("rewards/format.py", weight=0.2),
}
tool, cost = (load_plugin(f"rewards/{name}.py", "compute_score").target for name in ("tool", "tool_cost"))
RIGHT, WRONG, BARE = ANSWER, "<think>rows</think><answer>B</answer>", "it is <answer>A</answer>"
ACT = call((28, 28, 56, 56))
SAMPLE = next(one for one in (detail(number) for number in range(20)) if one.ground_truth == "A")


@pytest.fixture(scope="module")
def made():
    return making(tiny())


@pytest.mark.parametrize(
    "replies, total",
    [
        (["no idea"], 0.0),
        ([ACT, "no idea"], 0.2),
        ([WRONG], 0.2),
        ([ACT, WRONG], 0.4),
        ([BARE], 1.0),
        ([RIGHT], 1.2),
        ([ACT, BARE], 1.2),
        ([ACT, RIGHT], 1.4),
        ([ACT.replace("there", " "), RIGHT], 1.2),  # acted without a thought
        (["<think>x</think><tool_call>zoom!</tool_call>", RIGHT], 1.2),  # an action nobody can read
        ([call((50, 50, 10, 10)), RIGHT], 1.4),  # readable, though refused: ViTAR scores the form alone
    ],
)
def test_vitars_table(made, replies, total):
    played = play(made, replies, zooming(), SAMPLE)
    score_rollouts([played], load_rewards(VITAR))
    assert played.reward == pytest.approx(total) and not played.missing


def record(*boxes, source=0):
    actions = [{"tool": "zoom", "source": source, "box_px_original": list(box)} for box in boxes]
    return {"actions": actions, "image_sizes": [[100, 100], [50, 50]]}


@pytest.mark.parametrize(
    "boxes, found",
    [
        ([], 0),
        ([(10, 10, 40, 40)], 1),
        ([(10, 10, 40, 40), (10, 10, 40, 40)], 1),  # the same again
        ([(10, 10, 50, 50), (11, 10, 50, 50)], 1),  # a pixel less
        ([(10, 10, 40, 40), (50, 50, 90, 90)], 2),
        ([(0, 0, 100, 100)], 0),  # the whole picture
        ([(1, 1, 99, 99)], 0),
    ],
)
def test_a_region_seen_before_is_no_look(boxes, found):
    assert len(looks(record(*boxes))) == found
    earned = tool("x", RIGHT, "A", {"options": {"A": "rows", "B": "columns"}, "rollout": record(*boxes)})
    assert earned == {"score": float(found > 0), "looks": float(found)}


def test_the_same_place_in_another_picture_is_another_look():
    one, other = record((10, 10, 40, 40)), record((10, 10, 40, 40), source=1)
    assert len(looks({**one, "actions": one["actions"] + other["actions"]})) == 2


def test_a_wrong_answer_earns_nothing_for_looking():
    options = {"A": "rows", "B": "columns"}
    assert tool("x", WRONG, "A", {"options": options, "rollout": record((1, 1, 40, 40))})["score"] == 0


@pytest.mark.parametrize(
    "reply",
    [f"{ACT}{RIGHT}", f"<think>{ACT}</think><answer>A</answer>", f"{ACT}{ACT}", "<tool_call></tool_call>" + RIGHT],
)
def test_writing_an_action_earns_nothing_where_no_environment_did_it(reply):
    options = {"A": "rows", "B": "columns"}
    assert tool("x", reply, "A", {"options": options}) == {"score": 0.0, "looks": 0.0}
    assert cost("x", reply, "A", {"options": options}) == {"score": 0.0, "actions": 0.0}


@pytest.mark.parametrize("free, actions, score", [(1, 0, 0), (1, 1, 0), (1, 3, -2), (0, 2, -2), (4, 3, 0)])
def test_what_acting_costs(free, actions, score):
    given = {"rollout": record(*[(0, 0, 10, 10)] * actions)}
    assert cost("x", "", "", given, free=free) == {"score": score, "actions": actions}
