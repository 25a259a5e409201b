"""Every mistake in a recipe is named, all at once, with the key that was meant."""

import copy
from pathlib import Path

import pytest
from makers import RECIPE

from medrl.errors import MedrlError
from medrl.recipe import changed_keys, known_keys, recipe_from, to_yaml
from medrl.recipe_file import load_recipe

REPOSITORY = Path(__file__).resolve().parent.parent


def mistakes(**changes):
    given = copy.deepcopy(RECIPE)
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            given.setdefault(section, {})[name] = value
        else:
            given[section] = value
    with pytest.raises(MedrlError) as caught:
        recipe_from(given, "some.yaml", "some")
    return str(caught.value)


def gates(kinds=(), **gates):
    return {name: {"use": "x.py", "gate": gate, "kinds": dict(kinds).get(name, [])} for name, gate in gates.items()}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model__max_pixel": 3}, "did you mean model.max_pixels?"),
        ({"lr": 1e-6}, "did you mean optimizer.lr?"),
        ({"rollout": {"n": 4}}, "rollout.n: no such key; medrl calls it algorithm.group_size"),
        ({"optimizer__learning_rate": 1}, "medrl calls it optimizer.lr"),
        ({"rewards": {"a": {"use": "x.py", "wieght": 1}}}, "did you mean rewards.a.weight?"),
        ({"algorithm__group_size": 1}, "at least 2 are needed"),
        ({"algorithm__group_size": "many"}, "algorithm.group_size='many'"),
        ({"algorithm__max_refills": -1}, "algorithm.max_refills=-1: expected 0 or more"),
        ({"training__minibatches": 3}, "does not divide"),
        ({"model__min_pixels": 10**7}, "above model.max_pixels"),
        ({"sampling__temperature": 0}, "teach nothing"),
        ({"rewards": {}}, "none given"),
        ({"rewards": {"a": {"use": "x.py", "weight": 0}}}, "every weight is 0"),
        (
            {"rewards": gates(a="b")},
            "rewards.a.gate=b: no such reward; expected another one of this recipe: there is no other",
        ),
        ({"rewards": gates(a="d", c=None)}, "rewards.a.gate=d: no such reward; expected another one of this recipe: c"),
        ({"rewards": gates(a="a")}, "rewards.a.gate=a: a reward cannot be its own gate"),
        ({"rewards": gates(a="b", b="c", c="a")}, "rewards.b.gate=c: the gates run in a circle, b -> c -> a -> b"),
        (
            {"rewards": gates({"b": ["box"]}, a="b", b=None)},
            "rewards.a.gate=b: b scores questions of kind box, a those of every",
        ),
        (
            {"rewards": gates({"a": ["box", "count"], "b": ["box"]}, a="b", b=None)},
            "a those of kind box, count; expected a gate",
        ),
        ({"rewards": {"a": {}}}, "rewards.a.use: no value"),
        ({"rewards": {"a": "x.py"}}, "expected {use: path.py"),
        ({"model__lora_dropout": 0.1}, "without LoRA"),
        ({"val__every": 0}, "val.every=0: expected at least 1"),
        ({"data": 3}, "data: found 3, expected a mapping"),
        ({"scoring__workers": -1}, "scoring.workers=-1: expected 0 or more"),
        ({"scoring__memory_mb": 0}, "scoring.memory_mb=0: expected at least 1"),
        ({"rewards": {"a": {"use": "x.py", "timeout_s": 0}}}, "rewards.a.timeout_s=0.0: expected seconds, above 0"),
        ({"health__stop_on": ["zero_spred"]}, "health.stop_on=zero_spred: no such alarm; did you mean zero_spread?"),
        ({"health__stop_on": ["window"]}, "health.stop_on=window: no such alarm; expected some of entropy_collapse,"),
        ({"health__window": 0}, "health.window=0: expected at least 1"),
        ({"health__zero_spread": 1.5}, "health.zero_spread=1.5: expected a share between 0 and 1 (never)"),
        ({"health__entropy_collapse": -0.1}, "health.entropy_collapse=-0.1: expected a share between 0 (never) and 1"),
        ({"health__truncated": 1.5}, "health.truncated=1.5: expected a share"),
        ({"health__truncated": float("nan")}, "health.truncated=nan: expected a share"),
        ({"health__missing": 90}, "health.missing=90.0: expected a share"),
        ({"health__format_only": -1}, "health.format_only=-1.0: expected a gain"),
        ({"health__engine_gap": -1}, "health.engine_gap=-1.0: expected nats"),
        ({"health__length_drift": 0.5}, "health.length_drift=0.5: expected a factor of 1 or more"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(change, told):
    assert told in mistakes(**change)


@pytest.mark.parametrize(
    "rewards",
    [
        gates(a="b", b="c", c=None, d="c"),
        gates({"a": ["box"], "b": ["box", "count"]}, a="b", b=None),
        gates({"a": ["box"]}, a="b", b=None),
    ],
)
def test_gates_that_can_be_asked(rewards):
    given = {**copy.deepcopy(RECIPE), "rewards": rewards}
    assert recipe_from(given, "some.yaml", "some").rewards["a"].gate == "b"


def test_what_leads_into_a_circle_is_not_told_as_one():
    text = mistakes(rewards=gates(a="b", b="c", c="b"))
    assert text.count("circle") == 2 and "rewards.a" not in text


def test_all_mistakes_are_reported_together():
    text = mistakes(model__max_pixel=3, lr=1, algorithm__group_size="x", sampling__temprature=1)
    assert text.startswith("some.yaml: 4 mistakes.") and text.count("\n  - ") == 4


def test_overrides_win_and_are_checked(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("model: {path: tiny}\ndata: {train: a, val: b}\nrewards: {r: {use: x.py}}\ntraining: {steps: 3}\n")
    recipe = load_recipe(path, ["training.steps=7", "rewards.r.weight=0.5", "data.options.task=count"])
    assert (recipe.training.steps, recipe.rewards["r"].weight, recipe.data.options["task"]) == (7, 0.5, "count")
    assert recipe.name == "mine"
    with pytest.raises(MedrlError, match="expected key=value"):
        load_recipe(path, ["training.steps"])
    with pytest.raises(MedrlError, match=r"mine\.yaml"):
        load_recipe(tmp_path / "other.yaml")


def test_unreadable_yaml_is_a_readable_error(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("model: {path: tiny\n")
    with pytest.raises(MedrlError, match="not a readable recipe"):
        load_recipe(path, ["data.root=somewhere"])


def test_resolved_recipe_reads_back_equal(tmp_path):
    first = recipe_from(copy.deepcopy(RECIPE), "x", "some")
    path = tmp_path / "some.yaml"
    path.write_text(to_yaml(first))
    assert changed_keys(first, load_recipe(path)) == []


def test_changed_keys_lists_old_and_new():
    first, second = (recipe_from(copy.deepcopy(RECIPE), "x", "some") for _ in range(2))
    second.optimizer.lr, second.data.options["task"] = 5.0, "side"
    assert changed_keys(first, second) == ["data.options.task: count -> side", "optimizer.lr: 0.001 -> 5.0"]


def test_shipped_recipes_are_valid_and_keys_stay_few():
    recipes = sorted((REPOSITORY / "recipes").rglob("*.yaml"))
    assert recipes
    for path in recipes:
        load_recipe(path, ["data.root=somewhere"])
    assert len(known_keys()) <= 108
