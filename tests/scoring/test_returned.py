"""What rewards return: values per turn that add up, and on which token each of them stands."""

import doctest

import pytest
from makers import prompts, rollout, tiny
from playing import ANSWER, call, making, play, zooming

from medrl.recipe import Reward
from medrl.record.run import rollout_row
from medrl.scoring import given, returned, signature
from medrl.scoring.loaded import load_rewards
from medrl.scoring.parts import right
from medrl.scoring.returned import token_rewards
from medrl.scoring.rewards import score_rollouts

STEPS = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    asked = (extra_info or {}).get("rollout", {"asked": [False]})["asked"]
    turns = [0.5 if one else -0.25 for one in asked]
    return {"score": sum(turns), "turns": turns}
"""
HEAD = "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n    return "


@pytest.fixture(scope="module")
def played():
    return play(making(tiny()), [call((28, 28, 56, 56)), call((0, 0, 28, 28)), ANSWER], zooming())


@pytest.fixture
def score(tmp_path):
    def make(made, source=STEPS):
        (tmp_path / "steps.py").write_text(source)
        (tmp_path / "whole.py").write_text(HEAD + "1.0")
        made.scores, made.turn_scores, made.missing = {}, {}, {}
        given = {"steps": Reward(str(tmp_path / "steps.py"), 0.2), "whole": Reward(str(tmp_path / "whole.py"), 2.0)}
        score_rollouts([made], load_rewards(given))
        return made

    return make


def test_a_value_per_turn_stands_on_the_last_token_of_its_reply(score, played):
    made = score(played)
    assert made.turn_scores == {"steps": [0.5, 0.5, -0.25]} and made.scores["steps/score"] == 0.75
    spread = token_rewards(made, {"steps": 0.2, "whole": 2.0})
    assert sum(spread) == pytest.approx(made.reward) == 2.15
    places = [place for place, value in enumerate(spread) if value]
    assert [round(spread[place], 9) for place in places] == [0.1, 0.1, 1.95]
    ends = [place for place, own in enumerate(made.mask) if own and not [*made.mask, 0][place + 1]]
    assert places == ends, "each on the model's own last token before the environment speaks"
    assert rollout_row(made, 3)["turn_scores"] == made.turn_scores


def test_without_turns_all_of_it_stands_on_the_last_token(score):
    made = score(rollout(prompts(tiny(), 1)[0], [5, 6, 7]))
    assert made.turn_scores == {"steps": [-0.25]}, "one reply is one turn"
    assert token_rewards(made, {"steps": 0.2, "whole": 2.0}) == [0.0, 0.0, pytest.approx(1.95)]
    made.reward = None
    assert token_rewards(made, {"steps": 0.2, "whole": 2.0}) == [0.0] * 3


@pytest.mark.parametrize(
    "result, reason",
    [
        ("{'score': 1.0, 'turns': [0.5, 0.5, 0.5]}", "whose sum is not the score 1.0"),
        ("{'score': 1.0, 'turns': [0.5, 0.5]}", "expected a list of 3 numbers"),
        ("{'score': 1.0, 'turns': 1.0}", "expected a list of 3 numbers"),
        ("{'score': 1.0, 'turns': [1.0, None, 0.0]}", "expected a list of 3 numbers"),
        ("{'score': 1.0, 'turns': [1.0, float('nan'), 0.0]}", "whose sum is not the score"),
    ],
)
def test_values_that_do_not_add_up_leave_a_reason(score, played, result, reason):
    made = score(played, HEAD + result)
    assert made.reward is None and reason in made.missing["steps"] and not made.turn_scores


def test_every_number_is_logged_whoever_made_it(score):
    more = "'a': np.float32(0.5), 'b': np.int64(3), 'c': np.bool_(True), 'd': torch.tensor(2.0), 'e': True, 'f': Fraction(1, 4)"
    no = "'note': np.str_('7'), 'list': [1.0], 'none': None, 'row': np.ones(1)"
    source = f"from fractions import Fraction\nimport numpy as np\nimport torch\n{HEAD}{{'score': np.float32(1), {more}, {no}}}"
    made = score(rollout(prompts(tiny(), 1)[0], [5, 6, 7]), source)
    found = {"score": 1.0, "a": 0.5, "b": 3.0, "c": 1.0, "d": 2.0, "e": 1.0, "f": 0.25}
    assert made.scores == {f"steps/{name}": value for name, value in found.items()} | {"whole/score": 1.0}
    assert made.reward == 2.2 and all(type(value) is float for value in made.scores.values())


@pytest.mark.parametrize("module", [returned, given, signature, right])
def test_doctests(module):
    found = doctest.testmod(module)
    assert found.attempted and not found.failed
