"""The form of the turns: what each earns stands on its own last token, and adds up to the score of the episode."""

import pytest
from makers import tiny
from playing import ANSWER, call, making, play, zooming

from medrl.plugin import load_plugin
from medrl.recipe import Reward
from medrl.scoring.loaded import load_rewards
from medrl.scoring.returned import token_rewards
from medrl.scoring.rewards import score_rollouts

compute_score = load_plugin("rewards/turn_format.py", "compute_score").target
GOOD, MUTE, PLAIN = "<think>there</think><tool_call>{}</tool_call>", "<tool_call>{}</tool_call>", "<answer>A</answer>"


@pytest.mark.parametrize(
    ("turns", "asked", "share", "score", "values"),
    [
        ([GOOD, PLAIN], [1, 0], False, 1.0, [1.0, 0.0]),
        ([GOOD, GOOD, PLAIN], [1, 1, 0], False, 1.0, [0.5, 0.5, 0.0]),
        ([GOOD, MUTE, PLAIN], [1, 1, 0], False, 0.0, [0.0, 0.0, 0.0]),
        ([GOOD, MUTE, PLAIN], [1, 1, 0], True, 0.5, [0.5, 0.0, 0.0]),
        ([GOOD, GOOD, GOOD, PLAIN], [1, 0, 1, 0], True, 2 / 3, [1 / 3, 0.0, 1 / 3, 0.0]),
        ([PLAIN], [0], True, 0.0, [0.0]),
    ],
)
def test_what_each_turn_earns(turns, asked, share, score, values):
    found = compute_score("x", turns[-1], "A", {"rollout": {"turns": turns, "asked": asked}}, share=share)
    assert found == {"score": pytest.approx(score), "turns": pytest.approx(values)}


def test_on_real_episodes_each_value_stands_on_the_last_token_of_its_turn():
    replies = [call((28, 28, 56, 56)), "<tool_call>zoom!</tool_call>", call((0, 0, 28, 28)), ANSWER]
    made = play(making(tiny()), replies, zooming())
    score_rollouts([made], load_rewards({"form": Reward("rewards/turn_format.py", 0.3, kwargs={"share": True})}))
    assert not made.missing and made.reward == pytest.approx(0.3 * 2 / 3)
    spread = token_rewards(made, {"form": 0.3})
    assert sum(spread) == pytest.approx(made.reward)
    ends = [place for place, own in enumerate(made.mask) if own and not [*made.mask, 0][place + 1]]
    assert len(ends) == 4 and [round(spread[place], 9) for place in ends] == [0.1, 0.0, 0.1, 0.0]
