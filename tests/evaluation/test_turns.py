"""What acting was worth, from real episodes whose shares are counted by hand."""

import pytest
from makers import prompts, rollout, tiny
from playing import ANSWER, call, detail, making, play, zooming

from medrl.evaluation.turns import gain_over_turn_one, turn_metrics
from medrl.evaluation.validate import summarise
from medrl.recipe import Reward
from medrl.scoring.loaded import load_rewards
from medrl.scoring.rewards import score_rollouts

REWARDS = {"answer": Reward("rewards/choice.py"), "format": Reward("rewards/format.py", 0.1)}
SAMPLE = next(one for one in (detail(number) for number in range(20)) if one.ground_truth == "A")
ACT, WRONG, WHOLE = call((28, 28, 56, 56)), ANSWER.replace(">A<", ">B<"), call((0, 0, 112, 112))
REPLIES = {
    "right at once": [ANSWER],
    "wrong at once": [WRONG],
    "right after a look": [ACT, ANSWER],
    "wrong after a look": [ACT, WRONG],
    "looked and changed its mind for the better": [f"{WRONG}{ACT}", ANSWER],
    "and for the worse": [f"{ANSWER}{ACT}", WRONG],
    "knew it, and looked all the same": [f"{ANSWER}{WHOLE}", ANSWER],
    "what it asks about is no answer": [call((28, 28, 56, 56)).replace("there", "A"), call((0, 0, 9, 999)), ANSWER],
}


@pytest.fixture(scope="module")
def played():
    made = making(tiny())
    rollouts = [play(made, replies, zooming(), SAMPLE) for replies in REPLIES.values()]
    score_rollouts(rollouts, load_rewards(REWARDS))
    return rollouts


def test_gain_is_what_is_right_at_the_end_less_what_was_right_at_first(played):
    # right by the last reply: 1, 3, 5, 7 and 8 of 8; by the first: 1, 6 and 7
    before = [(dict(one.scores), one.reward, one.text) for one in played]
    assert gain_over_turn_one(played, load_rewards(REWARDS)) == {"tool/gain_over_turn_one": (5 - 3) / 8}
    gated = load_rewards(
        {**REWARDS, "answer": Reward("rewards/choice.py", gate="format")}
    )  # what is right is right, paid or not
    assert gain_over_turn_one(played, gated) == {"tool/gain_over_turn_one": (5 - 3) / 8}
    assert [(dict(one.scores), one.reward, one.text) for one in played] == before, "grading again leaves no trace"


def test_a_missing_score_is_not_right_and_only_first_answers_are_graded_again(played, tmp_path):
    (tmp_path / "counting.py").write_text(
        "asked = []\ndef compute_score(data_source, solution_str, ground_truth, extra_info=None):\n"
        "    asked.append(solution_str)\n    raise ValueError('away')"
    )
    graders = load_rewards({"answer": Reward(str(tmp_path / "counting.py"))})
    assert gain_over_turn_one(played, graders) == {"tool/gain_over_turn_one": (5 - 1) / 8}
    assert len(graders[0].plugin.target.__globals__["asked"]) == 3


def test_there_is_none_without_turns_or_without_an_answer_reward(played):
    assert gain_over_turn_one(played, load_rewards({"format": REWARDS["format"]})) == {}
    assert gain_over_turn_one([rollout(prompts(tiny(), 1)[0], [1])], load_rewards(REWARDS)) == {}


def test_shares_of_attempts(played):
    made = making(tiny())
    bad = [
        ["<think>x</think><tool_call>zoom!</tool_call>", call((0, 0, 9, 9), name="see"), ANSWER],
        [ACT, ACT, ACT, ACT],
    ]
    found = turn_metrics([*played, *(play(made, replies, zooming(), SAMPLE) for replies in bad)])
    assert found == pytest.approx({
        "tool/confirmed": 0.7, "tool/looked": 0.6, "tool/refused": 0.1, "tool/fault/unreadable": 0.1,
        "tool/fault/unknown_tool": 0.1, "tool/fault/refused": 0.0, "tool/over_turns": 0.1, "tool/turns": 2.2,
    })  # fmt: skip
    assert turn_metrics([rollout(prompts(tiny(), 1)[0], [1])]) == {}


def test_both_are_in_the_summary_of_an_evaluation(played):
    metrics = summarise(played, played[:4], 2, load_rewards(REWARDS))["metrics"]
    assert metrics["tool/gain_over_turn_one"] == 0.25 and metrics["tool/confirmed"] == 0.75
