"""A user's estimator: found beside the recipe, given what it names, checked before a run, told what is wrong with it."""

import hashlib
import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from makers import prompts, recipe, rollout, tiny
from typer.testing import CliRunner

from medrl.errors import MedrlError
from medrl.learning.estimator import Estimate, load_estimator
from medrl.learning.try_estimator import try_estimator
from medrl.recipe import Algorithm

DOCUMENT = Path(__file__).parents[2] / "docs" / "advantages.md"
SPREAD = Path(__file__).parents[1] / "faults" / "spread_reward.py"
SEES_ALL = """
import torch
from medrl.learning.estimator import Estimate

def compute_advantages(rewards, groups, components, weights, entropies, domains, rollouts, state, *, bias: float = 0.0):
    assert rewards.tolist() == [one.reward for one in rollouts] and rewards.dtype == torch.float32
    assert components.shape == (len(rollouts), len(weights)) and domains == ["CT"] * 3 + ["MRI"] * 3, domains
    seen = state.get("seen", 0) + len(rollouts)
    return Estimate(rewards + groups + entropies + bias, {"seen": seen}, {"seen": seen})
"""


@pytest.fixture(scope="module")
def two_prompts():
    return prompts(tiny(), 2)


@pytest.fixture
def made(two_prompts):
    """Three attempts each at two questions, of CT and of MRI."""
    for prompt, modality in zip(two_prompts, ("CT", "MRI")):
        prompt.sample.extra_info["modality"] = modality
    found = []
    for number in range(6):
        one = rollout(two_prompts[number // 3], [5, 6], None, reward=number / 8, entropy=0.5)
        one.scores = {"answer/score": number / 8, "format/score": 0.0}
        found.append(one)
    return found


def write(folder, body, name="mine.py"):
    path = folder / name
    path.write_text(body)
    return path


def settings_for(folder, advantage="mine.py", **kwargs):
    return recipe(folder, data={"slice_by": "modality"}, algorithm={"advantage": advantage, "kwargs": kwargs})


def load(folder, body, name="mine.py", reference=None, **kwargs):
    write(folder, body, name)
    return load_estimator(Algorithm(advantage=reference or name, kwargs=kwargs), beside=folder)


def test_it_gets_what_it_names_and_its_state_back(tmp_path, made):
    estimator = load(tmp_path, SEES_ALL, bias=2)
    assert estimator.sha256 == hashlib.sha256(SEES_ALL.encode()).hexdigest()
    settings = settings_for(tmp_path)
    found, metrics = estimator.advantages(settings, made)
    assert found.tolist() == [number / 8 + number // 3 + 2.5 for number in range(6)]
    assert metrics == {"advantage/seen": 6.0} and estimator.state == {"seen": 6}
    resumed = load(tmp_path, SEES_ALL)
    resumed.state = json.loads(json.dumps(estimator.state))
    assert resumed.advantages(settings, made)[1] == {"advantage/seen": 12.0}


def test_any_function_of_a_file_and_any_sequence_of_numbers_will_do(tmp_path, made):
    body = """
def plain(rewards):
    return rewards.double().numpy() * 2

def listed(groups, lambda_=1):
    return [lambda_] * len(groups)
"""
    settings = settings_for(tmp_path)
    found, _ = load(tmp_path, body, reference="mine.py:plain").advantages(settings, made)
    assert found.dtype == torch.float32 and found.tolist() == [number / 4 for number in range(6)]
    found, _ = load(tmp_path, body, reference="mine.py:listed", **{"lambda": 3}).advantages(settings, made)
    assert found.tolist() == [3.0] * 6


PLAIN = "def compute_advantages(rewards, groups, *, scale: float = 1.0, mode: str = 'a'):\n    return rewards * scale\n"
TOO_SMALL = PLAIN + "def check_kwargs(scale):\n    return [f'scale={scale}: too small'] if scale < 2 else []\n"
BROKEN_CHECK = PLAIN + "def check_kwargs(scale):\n    return 1 / 0\n"


@pytest.mark.parametrize(
    ("body", "kwargs", "message"),
    [
        (
            PLAIN,
            {"scal": 2.0},
            r"kwargs of algorithm.advantage=mine.py: .*mine.py: .*argument 'scal'.*may name scale, mode",
        ),
        (PLAIN, {"scale": "big"}, r"algorithm.kwargs.scale='big': expected a number \(algorithm.advantage=mine.py\)"),
        (PLAIN, {"scale": True}, r"algorithm.kwargs.scale=True: expected a number"),
        (PLAIN, {"mode": 3}, r"algorithm.kwargs.mode=3: expected text"),
        (PLAIN, {"rewards": 3}, r"`kwargs:` has rewards, which every call brings by itself"),
        (PLAIN.replace("groups", "group"), {}, r"missing a required argument: 'group'.*is offered rewards, groups"),
        (TOO_SMALL, {}, r"algorithm.kwargs.scale=1.0: too small"),
        (BROKEN_CHECK, {}, r"`check_kwargs` of .*mine.py raised an exception(.|\n)*ZeroDivisionError"),
        ("compute_advantages = 3\n", {}, r"advantage=mine.py: .*mine.py has a int of that name, expected a function"),
        ("def other(rewards):\n    return rewards\n", {}, r"advantage=mine.py: .*has no `compute_advantages`.*other"),
        ("import no_such_module\n", {}, r"algorithm.advantage=mine.py: .*does not import(.|\n)*no_such_module"),
    ],
)
def test_one_that_cannot_be_called_is_refused_before_the_run(tmp_path, body, kwargs, message):
    with pytest.raises(MedrlError, match=message):
        load(tmp_path, body, **kwargs)


def test_one_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(MedrlError, match=r"algorithm.advantage=absent.py: no such file. Looked at: "):
        load_estimator(Algorithm(advantage="absent.py"), beside=tmp_path)
    with pytest.raises(MedrlError, match=r"algorithm.advantage=gppo: expected one of grpo, .*path.py\[:function\]"):
        load_estimator(Algorithm(advantage="gppo"), beside=tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("return rewards[:-1]", r"returned shape \(5,\)"),
        ("return rewards[:, None]", r"returned shape \(6, 1\)"),
        ("return None", r"returned a NoneType"),
        ("return 'high'", r"returned a str"),
        ("return rewards / 0", r"returned a value that is not finite, nan for rollout 0"),
        ("return rewards * 1e30 * 1e30", r"not finite, inf for rollout 1"),
        ("return rewards.no_such()", r"raised an exception(.|\n)*return rewards.no_such\(\)(.|\n)*AttributeError"),
        ("return Estimate(rewards, {'mean': rewards.mean()})", r"its state\['mean'\] is a Tensor.*plain JSON"),
        ("return Estimate(rewards, {'seen': [0, {3: 1}]})", r"its state\['seen'\]\[1\] has the key 3"),
        ("return Estimate(rewards, {'seen': (1, 2)})", r"its state\['seen'\] is a tuple"),
        ("return Estimate(rewards, {'low': float('-inf')})", r"its state\['low'\] is -inf"),
        ("return Estimate(rewards, [1.0])", r"its state is a list"),
        ("return Estimate(rewards, {}, {'mean': rewards.mean()})", r"its metric mean is tensor.*float"),
        ("return Estimate(rewards, {}, {'low': float('nan')})", r"its metric low is nan"),
    ],
)
def test_what_it_may_not_return_is_told_with_its_file(tmp_path, made, line, message):
    body = f"from medrl.learning.estimator import Estimate\n\ndef compute_advantages(rewards):\n    {line}\n"
    estimator = load(tmp_path, body)
    with pytest.raises(MedrlError, match=message) as caught:
        estimator.advantages(settings_for(tmp_path), made)
    told = str(caught.value)
    assert told.startswith(f"algorithm.advantage=mine.py ({tmp_path / 'mine.py'}): ")
    assert "one finite number for each of the 6 rollouts" in told and "Mend the estimator" in told
    assert estimator.state == {}


STANDARDISED = """
def compute_advantages(rewards, groups):
    found = rewards.clone()
    for group in groups.unique():
        own = rewards[groups == group]
        found[groups == group] = (own - own.mean()) / {}
    return found
"""
FORGETS_JSON = """
from medrl.learning.estimator import Estimate

def compute_advantages(rewards, state):
    return Estimate(rewards, {'steps': {2}} if state else {'steps': 1})
"""


@pytest.mark.filterwarnings("ignore:std")  # of one attempt
def test_it_is_tried_before_anything_loads(tmp_path, two_prompts):
    """A division by the deviation of an all-equal or a single attempt is the commonest fault, and needs no model to show."""
    three = [*two_prompts, *prompts(tiny(), 1)]
    settings = settings_for(tmp_path)
    try_estimator(load(tmp_path, STANDARDISED.format("(own.std(unbiased=False) + 1e-4)")), settings, three)
    for divisor in ("own.std(unbiased=False)", "(own.std(correction=1) + 1e-4)"):
        with pytest.raises(MedrlError, match=r"not finite, nan for rollout \d.*tried on made-up rewards"):
            try_estimator(load(tmp_path, STANDARDISED.format(divisor)), settings, three)
    with pytest.raises(MedrlError, match=r"state\['steps'\] is a set"):  # only at the second step
        try_estimator(load(tmp_path, FORGETS_JSON), settings, three)
    estimator = load(tmp_path, STANDARDISED.format("2"))
    estimator.state = {"seen": 100}
    try_estimator(estimator, settings, three)
    assert estimator.state == {"seen": 100}


def train(folder, *overrides):
    from medrl.cli import app

    return CliRunner().invoke(app, ["train", str(folder / "mine.yaml"), *overrides])


def test_the_documented_one_runs_remembers_and_leaves_its_hash(tmp_path, monkeypatch):
    from medrl.recipe import to_yaml

    text = DOCUMENT.read_text(encoding="utf-8")
    body = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    algorithm = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])["algorithm"]
    assert len([line for line in body.splitlines() if line]) <= 12
    write(tmp_path, body, algorithm["advantage"])
    settings = recipe(
        tmp_path / "runs", "mine", algorithm={**algorithm, "group_size": 2}, training={"steps": 2, "prompts_per_step": 2},
        sft={"steps": 0}, val={"every": 10}, checkpoint={"every": 1},
        data={"slice_by": "modality", "train_options": {"n": 6}, "val_options": {"n": 4}},
        rewards={"spread": {"use": str(SPREAD)}},
    )  # fmt: skip
    (tmp_path / "mine.yaml").write_text(to_yaml(settings))
    monkeypatch.chdir(tmp_path)
    done = train(tmp_path)
    assert done.exit_code == 0, done.output
    run = tmp_path / "runs" / "mine"
    assert json.loads((run / "card.json").read_text())["advantage_sha256"] == hashlib.sha256(body.encode()).hexdigest()
    entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    means = [entry["reward/mean"] for entry in entries if entry["step"]]
    assert len(set(means)) > 1, "rewards that are all equal would not show what is remembered"
    moving = [means[0]]
    for mean in means[1:]:
        moving.append(0.95 * moving[-1] + 0.05 * mean)
    assert [entry["advantage/baseline"] for entry in entries if entry["step"]] == pytest.approx(moving)
    for step, baseline in enumerate(moving, 1):
        if (kept := run / "checkpoints" / f"global_step_{step}" / "trainer.json").exists():
            assert json.loads(kept.read_text())["advantage"] == {"baseline": pytest.approx(baseline)}
    assert kept.exists()

    # the slices of the same run, in the summary and in the journal
    summary = json.loads((run / "summary.json").read_text())["val_last"]["metrics"]
    sizes = {name: value for name, value in summary.items() if name.startswith("slice/") and name.endswith("/n")}
    accuracies = [value for name, value in summary.items() if name.startswith("slice/") and name.endswith("/accuracy")]
    assert len(sizes) > 1 and sum(sizes.values()) == 4
    assert summary["worst_slice"] == min(accuracies) and summary["slice_gap"] == max(accuracies) - min(accuracies)
    last = {name.removeprefix("val/"): value for name, value in entries[-1].items() if name.startswith("val/")}
    assert {name: last[name] for name in (*sizes, "worst_slice", "slice_gap")} == {
        name: summary[name] for name in (*sizes, "worst_slice", "slice_gap")
    }

    write(tmp_path, body.replace("rewards - baseline", "rewards / 0"), algorithm["advantage"])
    failed = train(tmp_path, "name=other")  # told before a run is begun
    assert "not finite" in str(failed.exception) and "tried on made-up rewards" in str(failed.exception)
    assert not (tmp_path / "runs" / "other").exists()


def test_a_checkpoint_and_an_estimate_are_the_same_to_the_next_step(tmp_path, made):
    """What the estimator sees next is what a resumed one would: a copy, so that nothing hangs on objects it kept."""
    body = (
        "from medrl.learning.estimator import Estimate\nKEPT = []\n\n"
        "def compute_advantages(rewards, state):\n"
        "    KEPT.append(len(KEPT))\n    return Estimate(rewards, {'kept': KEPT})\n"
    )
    estimator = load(tmp_path, body)
    estimator.advantages(settings_for(tmp_path), made)
    first = estimator.state
    estimator.advantages(settings_for(tmp_path), made)
    assert first == {"kept": [0]} and estimator.state == {"kept": [0, 1]}


def test_an_estimate_needs_nothing_but_its_numbers():
    assert Estimate(torch.zeros(2)).state == {} and Estimate(torch.zeros(2)).metrics == {}
