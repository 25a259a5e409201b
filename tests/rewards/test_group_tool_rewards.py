"""Tool rewards that compare the attempts at one question: hand-computed groups, and real episodes."""

import pytest
from makers import tiny
from playing import call, detail, making, play, zooming
from test_tool_rewards import ACT, OPTIONS, RIGHT, SAMPLE, UNREADABLE, WRONG, record

from medrl.plugin import load_plugin
from medrl.recipe import Reward
from medrl.scoring.loaded import load_rewards
from medrl.scoring.rewards import score_rollouts

curiosity, adaptive = (
    load_plugin(f"rewards/{name}.py", "compute_group_scores").target for name in ("curiosity", "adaptive_tool")
)
LOOK, OTHER, WHOLE = (10, 10, 40, 40), (50, 50, 90, 90), (0, 0, 100, 100)


def attempt(reply, *boxes, turns=True):
    extra = {"options": OPTIONS, **({"rollout": record(*boxes)} if turns else {})}
    return {"data_source": "x", "solution_str": reply, "ground_truth": "A", "extra_info": extra}


@pytest.mark.parametrize(
    "boxes, scores",
    [
        # one of four looked: 0.5 x (0.3 - 1/4) = 0.025 for that one
        ([[LOOK], [], [], []], [0.025, 0, 0, 0]),
        # and its second and third action cost 0.05 each
        ([[LOOK, OTHER, LOOK], [], [], []], [0.025 - 0.1, 0, 0, 0]),
        # two of four: above the rate that is wanted, nobody is paid
        ([[LOOK], [LOOK, OTHER], [], []], [0, -0.05, 0, 0]),
        # nobody looked: whole pictures and repetitions of them are no looks, and still cost
        ([[WHOLE], [WHOLE, WHOLE], [], []], [0, -0.05, 0, 0]),
        # of eight, one looked and one saw the whole picture: 0.5 x (0.3 - 1/8) = 0.0875 for the first alone
        ([[LOOK], [WHOLE], *[[]] * 6], [0.0875, *[0] * 7]),
        ([[]], [0]),
    ],
)
def test_curiosity_is_pixel_reasoners(boxes, scores):
    found = curiosity([attempt(WRONG, *ones) for ones in boxes])
    assert [one["score"] for one in found] == pytest.approx(scores)


def test_curiositys_constants_are_arguments():
    found = curiosity([attempt(WRONG, LOOK, OTHER), attempt(RIGHT)], bonus=2.0, cost=0.25, rate=1.0, free=0)
    assert found == [{"score": 2.0 * 0.5 - 0.25 * 2, "share": 0.5}, {"score": 0.0, "share": 0.5}]


PLAIN = "<answer>B</answer>"  # wrong, and not of the form that is asked for


@pytest.mark.parametrize(
    "group, scores",
    [
        # somebody knew it without a look
        ([(RIGHT,), (RIGHT, LOOK), (WRONG, LOOK), (PLAIN,), (WRONG,)], [1.0, 0.8, 0.5, 0.0, 0.1]),
        # it had to be looked at
        ([(RIGHT, LOOK), (WRONG, LOOK), (PLAIN,), (WRONG,)], [1.0, 0.5, 0.0, 0.1]),
        # nobody knew it
        ([(WRONG, LOOK), (PLAIN, LOOK, OTHER), (PLAIN,), (WRONG,)], [0.5, 0.5, 0.0, 0.1]),
        # the whole picture is an action, so no direct answer, but consoles nobody
        ([(RIGHT, WHOLE), (WRONG, WHOLE), (PLAIN, WHOLE, WHOLE)], [1.0, 0.1, 0.0]),
        ([(RIGHT,), (RIGHT, WHOLE)], [1.0, 0.8]),
        # a lone attempt is compared with none
        ([(RIGHT, LOOK)], [1.0]),
        ([(WRONG, LOOK)], [0.0]),
    ],
)
def test_adaptive_tool_is_the_table_of_chain_of_focus(group, scores):
    found = adaptive([attempt(reply, *boxes) for reply, *boxes in group])
    assert [one["score"] for one in found] == scores


def test_without_an_environment_every_attempt_is_direct():
    group = [attempt(reply, turns=False) for reply in (RIGHT, WRONG, f"{ACT}{PLAIN}")]
    assert [one["score"] for one in adaptive(group, form=0.0)] == [1.0, 0.0, 0.0]
    assert [one["score"] for one in curiosity(group)] == [0.0] * 3


def test_what_a_group_of_real_episodes_earns():
    made = making(tiny())
    prompt = made.build(SAMPLE)
    replies = [[RIGHT], [ACT, RIGHT], [UNREADABLE, WRONG], [call((0, 0, 112, 112)), WRONG], [ACT, ACT, WRONG]]
    group = [play(made, one, zooming(), SAMPLE) for one in replies] + [play(made, [ACT, RIGHT], zooming(), detail(1))]
    for one in group[:5]:
        one.prompt = prompt  # the five are attempts at one question, the sixth at another
    score_rollouts(
        group,
        load_rewards(
            {
                "adaptive": Reward("rewards/adaptive_tool.py"),
                "curiosity": Reward("rewards/curiosity.py", kwargs={"rate": 0.5}),
            }
        ),
    )
    assert [one.scores["adaptive/score"] for one in group[:5]] == [1.0, 0.8, 0.1, 0.1, 0.5]
    # two of five looked: 0.5 x (0.5 - 0.4); a second action costs 0.05
    earned = [one.scores["curiosity/score"] for one in group[:5]]
    assert earned == pytest.approx([0, 0.05, 0, 0, 0.0])
    assert group[5].scores["curiosity/share"] == 1.0 and not any(one.missing for one in group)


def test_what_is_right_is_not_asked_of_an_asynchronous_reward(tmp_path):
    (tmp_path / "judge.py").write_text("async def compute_score(*given):\n    return 1.0")
    with pytest.raises(TypeError, match=r"judge\.py is asynchronous"):
        adaptive([attempt(RIGHT)], answer=str(tmp_path / "judge.py"))
