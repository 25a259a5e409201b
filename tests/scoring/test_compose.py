"""Gates and weights: what a reward adds to the sum, alone, in a group, per turn and under plain verl."""

import asyncio
import doctest

import pytest
from makers import prompts, rollout, tiny
from playing import ANSWER, call, making, play, zooming

from medrl.evaluation.validate import mean_scores
from medrl.recipe import Reward
from medrl.scoring import compose
from medrl.scoring.compose import components, gated_entries, total, weights_in_force
from medrl.scoring.loaded import load_rewards
from medrl.scoring.returned import token_rewards
from medrl.scoring.rewards import score_rollouts

RULES = {
    "answer": Reward(weight=1.0, gate="format"),
    "box": Reward(weight=2.0, gate="answer"),
    "format": Reward(weight=0.0),
    "length": Reward(weight=-0.5),
}
EACH = "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n    return "
GROUP = "def compute_group_scores(group):\n    return "


@pytest.fixture(scope="module")
def loaded():
    return tiny()


@pytest.fixture
def load(tmp_path):
    """Rewards from `name: (source, how the recipe composes it)`."""

    def make(**given):
        for name, (source, _) in given.items():
            (tmp_path / f"{name}.py").write_text(source)
        return load_rewards({name: Reward(str(tmp_path / f"{name}.py"), **more) for name, (_, more) in given.items()})

    return make


def attempts(prompt, *texts):
    made = [rollout(prompt, [1, 2], None) for _ in texts]
    for number, (one, text) in enumerate(zip(made, texts)):
        one.text, one.attempt = text, number
    return made


@pytest.mark.parametrize(
    "answer, box, form, length, counted, reward",
    [
        (1.0, 0.75, 1.0, 1.0, [1.0, 0.75, 1.0, 1.0], 1.0 + 1.5 - 0.5),
        (1.0, 0.75, 0.0, 1.0, [0.0, 0.0, 0.0, 1.0], -0.5),  # a gate behind a closed gate is closed
        (0.5, 0.75, 1.0, 0.0, [0.5, 0.0, 1.0, 0.0], 0.5),  # half is not above half
        (0.51, 0.75, 0.51, 0.0, [0.51, 0.75, 0.51, 0.0], 0.51 + 1.5),
        (-1.0, -1.0, 0.0, 0.0, [0.0, 0.0, 0.0, 0.0], 0.0),  # a penalty behind a closed gate is none
    ],
)
def test_what_counts_behind_gates(answer, box, form, length, counted, reward):
    values = {"answer": answer, "box": box, "format": form, "length": length}
    scores = {f"{name}/score": value for name, value in values.items()} | {"box/iou": 9.0}
    assert list(components(scores, RULES).values()) == counted
    assert total(scores, RULES) == pytest.approx(reward)
    weights = weights_in_force(scores, RULES)
    assert sum(weights[name] * value for name, value in values.items()) == pytest.approx(reward)
    closed = [float(form <= 0.5), float(form <= 0.5 or answer <= 0.5)]
    assert gated_entries(scores, RULES) == {"answer/gated": closed[0], "box/gated": closed[1]}


def test_rewards_without_a_say_add_nothing():
    scores = {"format/score": 1.0, "length/score": 1.0}
    assert components(scores, RULES) == {"answer": 0.0, "box": 0.0, "format": 1.0, "length": 1.0}
    assert total(scores, RULES) == -0.5 and gated_entries(scores, RULES) == {} and total({}, RULES) == 0.0
    assert weights_in_force(scores, RULES) == {"answer": 0.0, "box": 0.0, "format": 0.0, "length": -0.5}


def test_a_gated_reward_is_logged_as_it_scored_and_its_closed_share_beside_it(load, loaded):
    rewards = load(
        answer=(EACH + "1.0", {"gate": "format"}), format=(EACH + "float(solution_str != 'x')", {"weight": 0.0})
    )
    made = attempts(prompts(loaded, 1)[0], "x", "y", "z", "z")
    score_rollouts(made, rewards)
    assert [one.reward for one in made] == [0.0, 1.0, 1.0, 1.0]
    assert mean_scores(made) == {
        "reward/answer/gated": 0.25, "reward/answer/score": 1.0, "reward/format/score": 0.75,
    }  # fmt: skip


@pytest.mark.parametrize("gate_of_group", [True, False])
def test_a_reward_of_groups_can_be_gate_and_be_gated(load, loaded, gate_of_group):
    first = GROUP + "[float(one['solution_str'] == 'x') for one in group]"  # scored after those of one rollout
    if gate_of_group:
        rewards = load(answer=(EACH + "0.5", {"gate": "among"}), among=(first, {"weight": 2.0}))
        wanted = [0.5 + 2.0, 0.0]
    else:
        alone = EACH + "float(solution_str == 'y')"
        rewards = load(among=(GROUP + "[0.25, 0.75]", {"gate": "answer", "weight": 2.0}), answer=(alone, {}))
        wanted = [0.0, 1.0 + 1.5]
    made = attempts(prompts(loaded, 1)[0], "x", "y")
    score_rollouts(made, rewards)
    assert [one.reward for one in made] == wanted


def test_a_gate_without_a_score_leaves_the_rollout_missing(load, loaded):
    rewards = load(answer=(EACH + "1.0", {"gate": "format"}), format=(EACH + "1 / (solution_str != 'x')", {}))
    made = attempts(prompts(loaded, 1)[0], "x", "y")
    score_rollouts(made, rewards)
    assert [one.reward for one in made] == [None, 2.0]
    assert "ZeroDivisionError" in made[0].missing["format"] and made[0].scores == {"answer/score": 1.0}


def test_values_per_turn_stand_on_no_token_behind_a_closed_gate(load, loaded):
    """Their sum is the rollout's reward, open or closed."""
    steps = EACH + "{'score': 1.5, 'turns': [0.5, 0.5, 0.5]}"
    for form, places in ((1.0, 3), (0.0, 1)):
        rewards = load(
            steps=(steps, {"gate": "format"}), format=(EACH + f"{form}", {"weight": 0.0}), rest=(EACH + "2.0", {})
        )
        made = play(making(loaded), [call((28, 28, 56, 56)), call((0, 0, 28, 28)), ANSWER], zooming())
        score_rollouts([made], rewards)
        assert made.turn_scores == {"steps": [0.5, 0.5, 0.5]} and made.scores["steps/score"] == 1.5
        spread = token_rewards(made, weights_in_force(made.scores, {one.name: one for one in rewards}))
        assert sum(spread) == pytest.approx(made.reward) == 2.0 + 1.5 * form
        assert sum(value != 0 for value in spread) == places


def test_plain_verl_gets_the_same_sum():
    from medrl.cluster.plain_reward import compute_score

    changes = ["data.root=/nowhere", "rewards.answer.gate=format", "rewards.format.weight=0"]
    extra = {"kind": "choice", "options": {"A": "red", "B": "white"}}
    for reply, score in (("<think>round</think><answer>B</answer>", 1.0), ("<answer>B</answer>", 0.0)):
        given = {"recipe": "recipes/blood_cells.yaml", "changes": changes}
        found = asyncio.run(compute_score("bccd", reply, "B", extra, **given))
        assert found["answer/score"] == 1.0 and found["score"] == score and found["answer/gated"] == 1 - score


def test_doctests():
    found = doctest.testmod(compose)
    assert found.attempted and not found.failed
