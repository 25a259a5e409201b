"""What looking again earns: hand-computed, and only for what the environment confirmed."""

import json

import pytest
from makers import tiny
from playing import ANSWER, call, detail, making, play, zooming

from medrl.plugin import load_plugin
from medrl.recipe import Env, Reward
from medrl.rollout.confirmed import looks
from medrl.rollout.interaction import load_interaction
from medrl.scoring.loaded import load_rewards
from medrl.scoring.rewards import score_rollouts

VITAR = {
    "answer": Reward("rewards/choice.py", weight=1.0),
    "thought": Reward("rewards/turn_format.py", weight=0.2),
    "format": Reward("rewards/format.py", weight=0.2),
}
tool, cost, discount, refused = (
    load_plugin(f"rewards/{name}.py", "compute_score").target
    for name in ("tool", "tool_cost", "tool_discount", "refused")
)
RIGHT, WRONG, BARE = ANSWER, "<think>rows</think><answer>B</answer>", "it is <answer>A</answer>"
ACT = call((28, 28, 56, 56))
UNREADABLE = "<think>x</think><tool_call>zoom!</tool_call>"
SAMPLE = next(one for one in (detail(number) for number in range(20)) if one.ground_truth == "A")
OPTIONS = {"A": "rows", "B": "columns"}


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
        ([UNREADABLE, RIGHT], 1.2),  # an action nobody can read
        ([call((50, 50, 10, 10)), RIGHT], 1.4),  # readable, though refused: ViTAR scores the form alone
    ],
)
def test_vitars_table(made, replies, total):
    played = play(made, replies, zooming(), SAMPLE)
    score_rollouts([played], load_rewards(VITAR))
    assert played.reward == pytest.approx(total) and not played.missing


def turn(thought, name, **arguments):
    return json.dumps({"thought": thought, "actions": [{"name": name, "arguments": arguments}]})


MARK, END = turn("a lesion", "mark", bbox_2d=[28, 28, 56, 56]), turn("rows", "Terminate", ans="A")


@pytest.mark.parametrize(
    "replies, total",
    [
        (["no idea"], 0.0),
        ([MARK, "no idea"], 0.2),  # only the action has its form
        ([END.replace('"A"', '"B"')], 0.2),  # only the answer has
        ([MARK, END.replace('"A"', '"B"')], 0.4),  # both, and wrong
        ([END], 1.2),  # right at once
        ([MARK.replace("a lesion", ""), END], 1.2),  # right, after an action without a thought
        (['{"thought": "a lesion", "actions": [{"name": "mark"', END], 1.2),  # JSON cut short
        ([MARK, "the answer is A"], 1.2),  # right, in no form
        ([MARK, END], 1.4),
    ],
)
def test_vitars_table_with_its_own_environment_and_way_of_writing(made, replies, total):
    mark = load_interaction(Env("envs/mark.py:MarkEnv", action_format="thought_action", max_turns=2))
    played = play(made, replies, mark, SAMPLE)
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
    earned = tool("x", RIGHT, "A", {"options": OPTIONS, "rollout": record(*boxes)})
    assert earned == {"score": float(found > 0), "looks": float(found)}


def test_the_same_place_in_another_picture_is_another_look():
    one, other = record((10, 10, 40, 40)), record((10, 10, 40, 40), source=1)
    assert len(looks({**one, "actions": one["actions"] + other["actions"]})) == 2


def test_a_wrong_answer_earns_nothing_for_looking():
    assert tool("x", WRONG, "A", {"options": OPTIONS, "rollout": record((1, 1, 40, 40))})["score"] == 0


@pytest.mark.parametrize(
    "reply",
    [f"{ACT}{RIGHT}", f"<think>{ACT}</think><answer>A</answer>", f"{ACT}{ACT}", "<tool_call></tool_call>" + RIGHT],
)
def test_writing_an_action_earns_nothing_where_no_environment_did_it(reply):
    assert tool("x", reply, "A", {"options": OPTIONS}) == {"score": 0.0, "looks": 0.0}
    assert cost("x", reply, "A", {"options": OPTIONS}) == {"score": 0.0, "actions": 0.0}
    assert discount("x", reply, "A", {"options": OPTIONS}) == {"score": 0.0, "actions": 0.0}


@pytest.mark.parametrize("free, actions, score", [(1, 0, 0), (1, 1, 0), (1, 3, -2), (0, 2, -2), (4, 3, 0)])
def test_what_acting_costs(free, actions, score):
    given = {"rollout": record(*[(0, 0, 10, 10)] * actions)}
    assert cost("x", "", "", given, free=free) == {"score": score, "actions": actions}


@pytest.mark.parametrize(
    "reply, boxes, total",
    [(RIGHT, 0, 1.0), (RIGHT, 1, 0.9), (RIGHT, 3, 0.9), (WRONG, 0, 0.0), (WRONG, 2, 0.0)],
)
def test_visionthinks_accuracy_times_one_less_a_tenth(reply, boxes, total):
    extra = {"options": OPTIONS, "rollout": record(*[(0, 0, 100, 100)] * boxes)}  # useless actions cost as well
    answered = load_plugin("rewards/choice.py", "compute_score").target("x", reply, "A", extra)["score"]
    assert answered + 0.1 * discount("x", reply, "A", extra)["score"] == pytest.approx(total)


@pytest.mark.parametrize(
    "replies, earned",  # by tool, refused, tool_cost (two actions free) and curiosity (alone: share 1, so no bonus)
    [
        ([RIGHT], (0, 0, 0, 0)),
        ([ACT, RIGHT], (1, 0, 0, 0)),
        ([ACT, WRONG], (0, 0, 0, 0)),
        ([UNREADABLE, RIGHT], (0, -1, 0, 0)),
        ([UNREADABLE, call((50, 50, 10, 10)), call((0, 0, 28, 28), name="see"), RIGHT], (0, -3, 0, 0)),
        ([call((0, 0, 112, 112)), RIGHT], (0, 0, 0, 0)),  # the whole picture
        ([call((0, 0, 111, 112)), call((0, 0, 112, 111)), RIGHT], (0, 0, 0, -0.05)),
        ([ACT, ACT, call((28, 28, 56, 57)), RIGHT], (1, 0, -1, -0.1)),  # the same thrice is one look
        ([f"{RIGHT}{ACT}", RIGHT], (1, 0, 0, 0)),
        ([ACT.replace("<tool_call>", "<tool>"), RIGHT], (0, 0, 0, 0)),  # no action: the first reply is the last
    ],
)
def test_what_real_episodes_earn(made, replies, earned):
    rewards = {
        "tool": Reward("rewards/tool.py"),
        "refused": Reward("rewards/refused.py"),
        "cost": Reward("rewards/tool_cost.py", kwargs={"free": 2}),
        "curiosity": Reward("rewards/curiosity.py"),
    }
    played = play(made, replies, zooming(), SAMPLE)
    score_rollouts([played], load_rewards(rewards))
    assert [played.scores[f"{name}/score"] for name in rewards] == pytest.approx(list(earned))


def test_the_classes_of_what_was_wrong_are_kept(made):
    bad = [UNREADABLE, call((50, 50, 10, 10)), call((0, 0, 28, 28), name="see"), RIGHT]
    turns = play(made, bad, zooming(), SAMPLE).turns
    assert [turn.fault_class for turn in turns] == ["unreadable", "refused", "unknown_tool", None]


def test_an_action_asked_for_in_the_last_turn_allowed_is_not_done(made):
    played = play(made, [ACT, f"{RIGHT}{call((60, 60, 90, 90))}"], zooming(max_turns=2), SAMPLE)
    score_rollouts([played], load_rewards({"tool": Reward("rewards/tool.py")}))
    assert played.end_reason == "turns" and played.scores["tool/looks"] == 1
