"""Files written for EasyR1, in every form it has had, and files written for verl run as they are."""

import pytest
from makers import prompts, rollout, tiny

from medrl.plugin import load_plugin
from medrl.recipe import Reward
from medrl.scoring.loaded import load_rewards
from medrl.scoring.rewards import probe, score_rollouts

compute_score = load_plugin("rewards/easyr1.py", "compute_score").target

PARTS = """
def _parts(reply, truth, worth):
    accuracy, form = float(truth in reply), float(reply.startswith("<think>"))
    return {"overall": worth * accuracy + 0.5 * form, "accuracy": accuracy, "format": form}
"""
NEWEST = """
from typing import Any

REWARD_NAME = "mine"
REWARD_TYPE = "batch"

def compute_score(reward_inputs: list[dict[str, Any]], worth: float = 1.0) -> list[dict[str, float]]:
    if not isinstance(reward_inputs, list):
        raise ValueError("Please use `reward_type=batch`")
    return [_parts(one["response"], one["ground_truth"], worth) for one in reward_inputs]
"""
FORMS = {
    "newest": NEWEST,
    "one": """
REWARD_TYPE = "sequential"
def compute_score(reward_inputs: dict, worth: float = 1.0):
    return _parts(reward_inputs["response"], reward_inputs["ground_truth"], worth)
""",
    "lists without saying so": NEWEST.replace('REWARD_TYPE = "batch"', ""),
    "one without saying so": """
def compute_score(reward_input, worth=1.0):
    return _parts(reward_input["response"], reward_input["ground_truth"], worth)
""",
    "reply and answer": """
def compute_score(predict_str: str, ground_truth: str, worth: float = 1.0) -> dict:
    return _parts(predict_str, ground_truth, worth)
""",
    "lists of both": """
def compute_score(predicts: list[str], ground_truths: list[str], worth: float = 1.0) -> list:
    return [_parts(*both, worth) for both in zip(predicts, ground_truths, strict=True)]
""",
}


@pytest.fixture(scope="module")
def prompt():
    return prompts(tiny(), 1)[0]


def attempts(prompt, *texts):
    made = [rollout(prompt, [1, 2, 3], None) for _ in texts]
    for one, text in zip(made, texts):
        one.text = text
    return made


@pytest.mark.parametrize("form", FORMS)
def test_every_form_runs_unchanged(tmp_path, prompt, form):
    (tmp_path / "theirs.py").write_text(PARTS + FORMS[form])
    kwargs = {"file": str(tmp_path / "theirs.py"), "worth": 2.0}
    rewards = load_rewards({"mine": Reward("rewards/easyr1.py", kwargs=kwargs)})
    probe(rewards, prompt)
    truth = prompt.ground_truth
    made = attempts(prompt, f"<think>I see {truth}", truth, "<think>none</think>")
    score_rollouts(made, rewards)
    assert [one.reward for one in made] == [2.5, 2.0, 0.5]
    assert made[0].scores == {"mine/score": 2.5, "mine/accuracy": 1.0, "mine/format": 1.0}


def test_the_length_is_in_tokens(tmp_path, prompt):
    (tmp_path / "theirs.py").write_text(
        "def long(reward_inputs):\n    return [{'overall': one['response_length']} for one in reward_inputs]\n"
    )
    file = f"{tmp_path / 'theirs.py'}:long"
    made = attempts(prompt, "one two three four")
    score_rollouts(made, load_rewards({"mine": Reward("rewards/easyr1.py", kwargs={"file": file})}))
    assert made[0].reward == len(made[0].token_ids) == 3
    assert compute_score("x", "one two three four", "", {}, file=file) == {"score": 4}


@pytest.mark.parametrize(
    "body, told",
    [
        ("return [{'score': 1.0}]", "expected a list of one dict with 'overall'"),
        ("return []", "returned '[]' for one reply"),
        ("return 1.0", "Is it written for EasyR1?"),
        ("return [{'overall': 1.0}] * 2", "expected a list of one dict"),
        ("return [{'overall': None}]", "expected finite numbers"),
        ("raise KeyError('x')", "KeyError: 'x' (theirs.py line 2)"),
    ],
)
def test_what_is_of_no_use_is_a_reason(tmp_path, prompt, body, told):
    (tmp_path / "theirs.py").write_text(f"def compute_score(reward_inputs):\n    {body}\n")
    kwargs = {"file": str(tmp_path / "theirs.py")}
    [made] = attempts(prompt, "x")
    score_rollouts([made], load_rewards({"mine": Reward("rewards/easyr1.py", kwargs=kwargs)}))
    assert made.reward is None and told in made.missing["mine"]


VERL = '''
"""As verl's documentation has it: a module of its own, a helper, a dict with more than the score."""
import re


def _extract(solution_str):
    found = re.findall(r"<answer>(.*?)</answer>", solution_str, re.DOTALL)
    return found[-1].strip() if found else None


def compute_score(data_source, solution_str, ground_truth, extra_info=None, format_score=0.0, **kwargs):
    answer = _extract(solution_str)
    if answer is None:
        return {"score": 0.0, "acc": False, "pred": "[INVALID]"}
    right = answer == ground_truth
    return {"score": 1.0 if right else format_score, "acc": right, "pred": answer}
'''


def test_a_file_written_for_verl_runs_unchanged(tmp_path, prompt):
    (tmp_path / "verls.py").write_text(VERL)
    rewards = load_rewards({"mine": Reward(str(tmp_path / "verls.py"), kwargs={"format_score": 0.25})})
    probe(rewards, prompt)
    made = attempts(prompt, f"<answer>{prompt.ground_truth}</answer>", "<answer>x</answer>", "x")
    score_rollouts(made, rewards)
    assert [one.scores for one in made] == [
        {"mine/score": 1.0, "mine/acc": 1.0}, {"mine/score": 0.25, "mine/acc": 0.0}, {"mine/score": 0.0, "mine/acc": 0.0},
    ]  # fmt: skip
