"""A sweep block becomes exactly the runs it says, and every fault is told before one of them starts."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import RECIPE
from omegaconf import OmegaConf

from medrl.errors import MedrlError
from medrl.recipe_file import load_recipe
from medrl.sweep.plan import override, plan_sweep, recipe_hash

LAMBDA, FORM = "algorithm.kwargs.lambda", "algorithm.kwargs.form"


@pytest.fixture
def sweep_of(tmp_path, monkeypatch):
    """Plan the small recipe with a sweep block."""
    monkeypatch.chdir(tmp_path)

    def plan(block, *overrides, **sections):
        OmegaConf.save(OmegaConf.create({**copy.deepcopy(RECIPE), **sections, "sweep": block}), tmp_path / "mine.yaml")
        return plan_sweep(tmp_path / "mine.yaml", overrides, given_as="mine.yaml")

    return plan


def names(plan):
    return [run.name for run in plan.sweep.runs]


def test_points_are_grid_times_rows_times_entries_for_every_seed(sweep_of):
    plan = sweep_of(
        {
            "grid": {LAMBDA: [0, 0.5]},
            "zip": {"optimizer.lr": [1e-6, 2e-6], "training.steps": [10, 5]},
            "list": [{"algorithm.advantage": "grpo"}, {"algorithm": {"advantage": "uadt"}}],
            "seeds": [3, 4],
        }
    )
    assert len(names(plan)) == 2 * 2 * 2 * 2 and len({run.hash for run in plan.sweep.runs}) == 16
    assert names(plan)[:3] == [
        "lambda=0,lr=1e-06,steps=10,advantage=grpo,seed=3",
        "lambda=0,lr=1e-06,steps=10,advantage=grpo,seed=4",
        "lambda=0,lr=1e-06,steps=10,advantage=uadt,seed=3",
    ]
    assert plan.sweep.runs[-1].set == {
        LAMBDA: 0.5, "optimizer.lr": 2e-6, "training.steps": 5, "algorithm.advantage": "uadt", "seed": 4,
    }  # fmt: skip
    assert plan.sweep.baseline == "lambda=0,lr=1e-06,steps=10,advantage=grpo"
    assert plan.sweep.varied == [LAMBDA, "optimizer.lr", "training.steps", "algorithm.advantage"]


@pytest.mark.parametrize("seeds, expected", [(None, [7]), (3, [0, 1, 2]), ([5], [5])])  # None: the recipe's own
def test_seeds(sweep_of, seeds, expected):
    block = {"grid": {LAMBDA: [0]}, **({} if seeds is None else {"seeds": seeds})}
    assert [run.seed for run in sweep_of(block, seed=7).sweep.runs] == expected
    if seeds is None:
        assert [run.seed for run in sweep_of(block, "seed=8").sweep.runs] == [8]


@pytest.mark.parametrize(
    "given, told",
    [
        (
            "optimizer.lr=0.1",
            "every run has its own optimizer.lr, so no run would see this; change the grid, as with sweep.grid.",
        ),
        ("training.steps=9", "training.steps, so no run would see this; change the `sweep:` block"),
        ("training={steps: 9, prompts_per_step: 2}", "training.steps=9: every run"),
        ("seed=7", "seed=7: `sweep.seeds` gives the seeds; write sweep.seeds=[7]"),
    ],
)
def test_an_override_that_no_run_would_see_is_refused(sweep_of, given, told):
    block = {"grid": {"optimizer.lr": [1e-3, 2e-3]}, "zip": {"training.steps": [1, 2]}, "seeds": 2}
    with pytest.raises(MedrlError, match="1 mistake ") as raised:
        sweep_of(block, "algorithm.group_size=6", given)
    assert told in str(raised.value)


def test_an_override_that_some_runs_see_is_heard(sweep_of):
    plan = sweep_of({"list": [{}, {"optimizer.lr": 1e-3}]}, "optimizer.lr=0.1")
    assert [one.optimizer.lr for one in plan.recipes.values()] == [0.1, 1e-3]


def test_conditions_set_more_and_exclusions_leave_out(sweep_of):
    plan = sweep_of(
        {
            "grid": {LAMBDA: [0, 0.5], FORM: ["multiplicative", "additive"]},
            "when": [{"if": {LAMBDA: 0.5, "algorithm.group_size": 4}, "set": {"algorithm.clip_high": 0.3}}],
            "exclude": [{LAMBDA: 0, FORM: "additive"}],
            "baseline": {LAMBDA: 0},
        }
    )
    assert [run.point for run in plan.sweep.runs] == [
        "lambda=0,form=multiplicative", "lambda=0.5,form=multiplicative", "lambda=0.5,form=additive",
    ]  # fmt: skip
    assert [plan.recipes[run.name].algorithm.clip_high for run in plan.sweep.runs] == [0.2, 0.3, 0.3]
    assert plan.sweep.baseline == "lambda=0,form=multiplicative" and plan.notes == []


def test_a_condition_that_never_holds_is_noted(sweep_of):
    plan = sweep_of({"grid": {LAMBDA: [0, 1]}, "exclude": [{LAMBDA: 2}], "when": [{"if": {LAMBDA: True}, "set": {}}]})
    assert plan.notes == ["sweep.when[0] matches no point", "sweep.exclude[0] matches no point"]  # true is not 1


def test_the_command_of_a_run_makes_the_recipe_that_was_checked(sweep_of, tmp_path):
    """What anyone may copy gives the same recipe, `=` and `,` in its name and interpolations in the file included."""
    block = {"list": [{"data.kinds": ["a b", "1"], LAMBDA: "x=1, y: [2]", "optimizer.lr": 1e-9}, {LAMBDA: None}]}
    plan = sweep_of(
        block, "algorithm.group_size=6", "sweep.seeds=[2]", sampling={"max_new_tokens": "${training.steps}"}
    )
    for run in plan.sweep.runs:
        verb, path, *overrides = plan.command(run)
        made = load_recipe(tmp_path / path, overrides)
        assert verb == "train" and (made.name, made.seed, made.algorithm.group_size) == (run.name, 2, 6)
        assert recipe_hash(made) == run.hash and made.run_dir == plan.sweep.run_dir(run)
        assert not any(one.startswith("sweep") for one in overrides)
    assert load_recipe(tmp_path / path, plan.command(plan.sweep.runs[0])[2:]).data.kinds == ["a b", "1"]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufeff\ufffe\uffff"), max_size=20
) | st.sampled_from(["1e-6", "1E5", "${x}", "a ${x.y} b", "?", "null", "~", "[", "007", "1_0", "0x1f", "2026-11-24"])


@settings(max_examples=60)
@given(st.recursive(SCALARS | TEXTS, lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_an_override_is_read_as_the_value_it_was_made_of(value):
    read = OmegaConf.to_container(OmegaConf.from_dotlist([override("a.b", value)]), resolve=True)["a"]["b"]
    assert repr(read) == repr(value)  # types too, within lists as well


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "."])
def test_a_name_that_leaves_the_folder_is_refused(sweep_of, name):
    with pytest.raises(MedrlError, match="it can hold no path"):
        sweep_of({"seeds": 2}, f"name={name}")


def test_a_hash_leaves_name_folder_and_loggers_aside(sweep_of):
    one = sweep_of({"grid": {LAMBDA: [0]}}).sweep.runs[0]
    moved = sweep_of({"grid": {LAMBDA: [0.0]}}, "name=b", "runs_dir=elsewhere", "loggers.tensorboard=true").sweep
    assert moved.runs[0].hash == one.hash and str(moved.folder) == "elsewhere/b"
    assert sweep_of({"grid": {LAMBDA: [0]}}, "checkpoint.every=9").sweep.runs[0].hash != one.hash


def test_exact_differences_from_the_recipe(sweep_of):
    plan = sweep_of({"grid": {"optimizer.lr": [1e-3, 2e-3]}, "seeds": [1], "list": [{LAMBDA: 0.5}]})
    assert plan.changes[names(plan)[1]] == {
        LAMBDA: ("(absent)", 0.5), "optimizer.lr": (1e-3, 2e-3), "seed": (0, 1)
    }  # fmt: skip
    assert "optimizer.lr" not in plan.changes[names(plan)[0]]  # as the recipe has it


def test_the_grid_can_be_narrowed_on_the_command_line(sweep_of):
    plan = sweep_of({"grid": {LAMBDA: [0, 0.5, 0.9]}}, f"sweep.grid.{LAMBDA}=[0.9]")
    assert names(plan) == ["lambda=0.9,seed=0"]


@pytest.mark.parametrize(
    "block, told",
    [
        ({"gird": {LAMBDA: [0]}}, ["sweep.gird: no such key; did you mean grid?", "nothing to vary"]),
        ({}, ["nothing to vary"]),
        ({"grid": {"algorithm.kl_coeff": [0, 1]}}, ["did you mean algorithm.kl_coef?"]),
        ({"grid": {"num_generations": [4]}}, ["medrl calls it algorithm.group_size"]),
        ({"grid": {LAMBDA: []}}, [f"{LAMBDA} has no values"]),
        ({"grid": {LAMBDA: 0.5}}, [f"{LAMBDA}=0.5: expected a list of values, such as [0.5]"]),
        ({"grid": {"training.steps": ["many"]}}, ["training.steps='many'"]),
        ({"zip": {"optimizer.lr": [1e-6, 2e-6], "training.steps": [5]}}, ["optimizer.lr has 2, training.steps has 1"]),
        ({"list": [{"algorithm.kwargs": {}}, {LAMBDA: 1}]}, ["sweep.list[0]: algorithm.kwargs={} would clear nothing"]),
        ({"list": {LAMBDA: 1}}, ["expected points written out"]),
        ({"list": [{LAMBDA: 1}, 5]}, ["sweep.list[1]=5: expected a mapping"]),
        ({"seeds": 0}, ["sweep.seeds=0"]),
        ({"seeds": [1, 1]}, ["1 more than once"]),
        ({"seeds": [-1]}, ["whole numbers from 0 up"]),
        ({"grid": {"seed": [1, 2]}}, ["seed cannot stand here; use `seeds:`"]),
        ({"grid": {"name": ["a"]}}, ["name cannot stand here"]),
        ({"grid": {LAMBDA: [0]}, "list": [{LAMBDA: 1}]}, [f"{LAMBDA} is given by grid's {LAMBDA} and by list"]),
        ({"grid": {LAMBDA: [0]}, "when": [{"if": {LAMBDA: 0}}]}, ["sweep.when[0]", "expected {if:"]),
        ({"grid": {LAMBDA: [0]}, "exclude": [{}]}, ["would match every point"]),
        ({"grid": {LAMBDA: [0]}, "exclude": [{LAMBDA: 0}]}, ["leaves no point"]),
        ({"grid": {LAMBDA: [0]}, "metric": "reward"}, ["expected a metric of the validation"]),
        ({"grid": {LAMBDA: [0]}, "baseline": {LAMBDA: 2}}, ["no point has", "the points are lambda=0"]),
        ({"grid": {LAMBDA: [0, 1], FORM: ["a", "b"]}, "baseline": {LAMBDA: 0}}, ["is so of 2 points"]),
        ({"grid": {LAMBDA: [0, 0.0]}}, ["the same recipe as lambda=0"]),
        ({"grid": {LAMBDA: [1, 0, 1]}, "seeds": 3}, ["1 mistake ", "- lambda=1: given more than once; take one out"]),
        ({"list": [{}, {"optimizer.lr": 1e-3}]}, ["lr=0.001: the same recipe as recipe"]),
        (
            {"grid": {"algorithm": [{"group_size": 4}, {"group_size": 8}], "algorithm.group_size": [16]}},
            ["algorithm.group_size is given by grid's algorithm and by grid's algorithm.group_size"],
        ),
        (
            {"grid": {"rewards.box": [None, {"use": "x.py"}]}, "zip": {"rewards.box.weight": [1, 2]}},
            ["rewards.box.weight is given by grid's rewards.box and by zip"],
        ),
        ({"grid": {"algorithm.group_size": [4, 1]}}, ["group_size=1,seed=0: algorithm.group_size=1"]),
        ({"seeds": 2, "list": [{"val.every": 0}]}, ["every run: val.every=0: expected at least 1"]),
        (3, ["sweep=3: expected a mapping"]),
    ],
)
def test_a_fault_is_told_before_anything_starts(sweep_of, tmp_path, block, told):
    with pytest.raises(MedrlError) as raised:
        sweep_of(block)
    assert all(words in str(raised.value) for words in told), str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_all_faults_are_told_at_once(sweep_of):
    with pytest.raises(MedrlError, match="4 mistakes"):
        sweep_of({"grid": {"algorithm.kl_coeff": [0]}, "seeds": 0, "list": [], "metrik": "val/reward"})


def test_what_the_recipe_lacks_the_sweep_may_give(sweep_of):
    plan = sweep_of({"grid": {"training.steps": [1, 2]}}, training={"prompts_per_step": 4})
    assert [plan.recipes[name].training.steps for name in names(plan)] == [1, 2]


def test_a_recipe_without_a_block_is_sent_to_train(sweep_of, tmp_path):
    (tmp_path / "plain.yaml").write_text("model: {path: tiny}\n")
    with pytest.raises(MedrlError, match="no `sweep:` block"):
        plan_sweep(tmp_path / "plain.yaml")
