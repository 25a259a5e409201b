"""Alarms over synthetic journals: each is raised at its step, not at its limit, told once, and cleared when it is over."""

import json
import math
from pathlib import Path

import pytest
from makers import recipe

from medrl.recipe import Health as Limits
from medrl.recipe import known_keys
from medrl.record.health import Health
from medrl.record.health_rules import METRICS, RULES, never_judged

NOWHERE = Path("no journal yet")
ANSWER, FORMAT = "reward/answer/score", "reward/format/score"


def steps(metric: str, *values: float | None) -> list[dict]:
    """One GRPO entry a value; None: a step without that metric."""
    told = [{} if value is None else {metric: value} for value in values]
    return [{"stage": "grpo", "step": step, **metrics} for step, metrics in enumerate(told, start=1)]


def judged(entries: list[dict], health: Health | None = None, **limits) -> list[dict]:
    """What the alarms add to each entry; the window is 2 steps unless told otherwise."""
    health = health or Health(recipe(Path("runs"), health={"window": 2, **limits}), NOWHERE)
    return [health.judge(entry) for entry in entries]


def told(found: list[dict]) -> list[tuple[int, str]]:
    """(step, name) of every alarm raised, and (step, -name) of every one cleared."""
    raised = [(step, alarm["name"]) for step, one in enumerate(found, 1) for alarm in one.get("alarms", ())]
    return sorted(
        raised + [(step, f"-{name}") for step, one in enumerate(found, 1) for name in one.get("alarms_cleared", ())]
    )


@pytest.mark.parametrize(
    ("name", "at_limit", "beyond", "first_at"),
    [
        # relative to the first window: values 1.0, 1.0, then as given
        ("entropy_collapse", 0.1, 0.0999, 4),
        ("length_drift", 2.0, 2.001, 4),
        ("length_drift", 0.5, 0.499, 4),
        # the mean of a window, whatever came first
        ("zero_spread", 0.9, 0.901, 2),
        ("truncated", 0.5, 0.501, 2),
        ("missing", 0.02, 0.0201, 2),
        ("engine_gap", 0.05, 0.0501, 2),
    ],
)
def test_each_alarm_is_raised_beyond_its_default_limit_and_not_at_it(name, at_limit, beyond, first_at):
    relative = first_at == 4
    start = [1.0, 1.0] if relative else []
    assert told(judged(steps(METRICS[name], *start, *[at_limit] * 6))) == []
    found = judged(steps(METRICS[name], *start, *[beyond] * 6))
    assert told(found) == [(first_at, name)]
    (alarm,) = found[first_at - 1]["alarms"]
    assert set(alarm) == {"name", "value", "limit", "text"}
    assert alarm["value"] == pytest.approx(beyond) and alarm["limit"] == getattr(Limits(), name)
    assert f"health.{name}" in alarm["text"] and "expected" in alarm["text"] and "; try" in alarm["text"]
    assert f"steps {first_at - 1} to {first_at}" in alarm["text"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_one_bad_step_is_no_alarm_and_the_mean_of_a_window_decides():
    assert told(judged(steps("group/zero_spread", 0.5, 1.0, 0.7, 1.0, 0.79))) == []  # the highest mean is 0.895
    assert told(judged(steps("group/zero_spread", 0.5, 1.0, 0.81))) == [(3, "zero_spread")]


def test_an_alarm_is_told_once_and_clears_a_tenth_inside_its_limit():
    # means of two: -, 1, 0.92, 0.84, 0.88, 0.81, 0.9, 0.95
    found = judged(steps("group/zero_spread", 1.0, 1.0, 0.84, 0.84, 0.92, 0.70, 1.1, 0.8))
    assert told(found) == [(2, "zero_spread"), (6, "-zero_spread"), (8, "zero_spread")]
    assert [one.get("health/zero_spread") for one in found] == [None, 1, 1, 1, 1, 0, 0, 1]


def test_relative_alarms_clear_as_well():
    entropy = [1.0, 1.0, 0.05, 0.05, 0.105, 0.105, 0.115, 0.115]
    assert told(judged(steps("policy/entropy", *entropy))) == [(4, "entropy_collapse"), (8, "-entropy_collapse")]
    length = [10, 10, 30, 30, 19.5, 19.5, 19, 19]
    assert told(judged(steps("rollout/length", *length))) == [(4, "length_drift"), (8, "-length_drift")]


@pytest.mark.parametrize(("entropy_collapse", "length_drift"), [(0.999, 1.01)])
def test_an_alarm_with_a_limit_near_to_no_change_can_still_clear(entropy_collapse, length_drift):
    for name, away in (("entropy_collapse", 0.5), ("length_drift", 2.0)):
        entries = steps(METRICS[name], 1.0, 1.0, away, away, 1.0, 1.0)
        found = judged(entries, entropy_collapse=entropy_collapse, length_drift=length_drift)
        assert told(found) == [(4, name), (6, f"-{name}")]


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf, True, "0.99", 10**400])
def test_what_is_no_number_raises_nothing_clears_nothing_and_does_not_count(nothing):
    for metric in METRICS.values():
        assert told(judged(steps(metric, *[nothing] * 8))) == []
    found = judged(steps("group/zero_spread", 1.0, nothing, nothing, 1.0, nothing, 0.1, 0.1))
    assert told(found) == [(4, "zero_spread"), (6, "-zero_spread")]
    assert "health/zero_spread" not in found[4]


def test_nothing_is_judged_of_the_cold_start_or_a_first_validation():
    entries = [{"stage": "sft", "step": step, "group/zero_spread": 1.0} for step in range(1, 9)]
    assert judged([*entries, {"stage": "grpo", "step": 0, "val/reward": 0.1}]) == [{}] * 9


# --- format_only: a form is learnt and nothing else -------------------------------------------------------------------


def learning(form: tuple[float, float], right: tuple[float, float], first: int = 10, rest: int = 10) -> list[dict]:
    """A journal whose two rewards go from one value to another after `first` steps."""
    return [
        {"stage": "grpo", "step": step, FORMAT: form[step > first], ANSWER: right[step > first]}
        for step in range(1, first + rest + 1)
    ]


@pytest.mark.parametrize(
    ("form", "right", "raised"),
    [
        ((0.40, 0.61), (0.30, 0.319), True),  # gained 0.21, and accuracy 0.019
        ((0.40, 0.61), (0.30, 0.10), True),  # accuracy fell
        ((0.40, 0.61), (0.30, 0.32), False),  # accuracy gained 0.02
        ((0.40, 0.60), (0.30, 0.30), False),  # gained 0.2 and not more
        ((0.40, 0.61), (0.40, 0.42), False),  # floats make that gain 0.01999999999999996
        ((0.70, 0.90), (0.30, 0.30), False),  # and this one 0.20000000000000007
        ((0.40, 0.10), (0.30, 0.10), False),  # both fell
        ((0.95, 1.00), (0.30, 0.30), False),
    ],
)
def test_format_only_is_raised_when_form_gains_a_fifth_and_accuracy_less_than_a_fiftieth(form, right, raised):
    found = judged(learning(form, right), window=10)
    assert told(found) == ([(20, "format_only")] if raised else [])
    if raised:
        text = found[-1]["alarms"][0]["text"]
        assert "The reward format went from 0.4 over steps 1 to 10 to 0.61 over steps 11 to 20" in text
        assert "rewards.format.gate=answer" in text


def test_format_only_clears_once_accuracy_follows():
    entries = learning((0.4, 0.8), (0.3, 0.3), 2, 4)
    entries += [{"stage": "grpo", "step": step, FORMAT: 0.8, ANSWER: 0.5} for step in (7, 8)]
    assert told(judged(entries)) == [(4, "format_only"), (7, "-format_only")]


def test_accuracy_is_the_reward_the_recipe_names_and_a_reward_of_no_weight_teaches_no_form():
    entries = [{**entry, "reward/other/score": entry[ANSWER]} for entry in learning((0.4, 0.8), (0.3, 0.3), 2, 2)]

    def names(accuracy: str | None = None, **rewards) -> list[tuple[int, str]]:
        use = {"use": "rewards/count.py"}
        named = {name: {**use, **settings} for name, settings in rewards.items()}
        made = recipe(Path("runs"), health={"window": 2}, rewards=named, scoring={"accuracy": accuracy})
        return told(judged(entries, Health(made, NOWHERE)))

    assert names(answer={}, format={"weight": 0.1}) == [(4, "format_only")]
    assert names(accuracy="format", answer={}, format={"weight": 0.1}) == []  # it is accuracy that gained
    assert names(answer={}, format={"weight": 0.0}) == []
    both = {"answer": {"kinds": ["choice"]}, "format": {"kinds": ["open"]}}
    assert names(**both) == []  # a second reward for answers, to another kind of question
    assert names(answer={"gate": "format"}, format={"weight": 0.0}) == [
        (4, "format_only")
    ]  # it opens the answer's gate
    assert names(answer={}, format={"weight": -0.1}) == []  # a penalty that rises was not sought
    assert names(other={"weight": 0.5}, format={"weight": 0.4}) == [(4, "format_only")]  # accuracy: the heaviest


# --- a journal that goes on -------------------------------------------------------------------------------------------


def write(path: Path, entries: list[dict]) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


@pytest.mark.parametrize("broken_after", range(1, 16))
def test_a_journal_broken_anywhere_and_gone_on_with_tells_the_same(tmp_path, broken_after):
    spread = [0.2, 1.0, 1.0, 0.86, 0.86, 0.2, 0.2, 1.0, 1.0, 1.0, 0.1, 0.9, 1.0, 1.0, 0.5, 0.4]
    entropy = [1.0, 0.9, 0.5, 0.06, 0.06, 0.06, 0.5, 0.5, 0.06, 0.05, 0.04, 0.3, 0.3, 0.3, 0.01, 0.01]
    entries = [{**a, **b} for a, b in zip(steps("group/zero_spread", *spread), steps("policy/entropy", *entropy))]
    entries.insert(0, {"stage": "sft", "step": 1, "group/zero_spread": 1.0})
    settings = recipe(Path("runs"), health={"window": 2})
    whole = [entry | extra for entry, extra in zip(entries, judged(entries, Health(settings, NOWHERE)))]
    assert sum("alarms" in entry for entry in whole) >= 4 and sum("alarms_cleared" in entry for entry in whole) >= 3
    journal = write(tmp_path / "metrics.jsonl", whole[:broken_after])
    again = judged(entries[broken_after:], Health(settings, journal))
    assert [entry | extra for entry, extra in zip(entries[broken_after:], again)] == whole[broken_after:]


def test_another_limit_on_resume_is_what_is_judged_by(tmp_path):
    entries = steps("group/zero_spread", *[0.95] * 6)
    before = [entry | extra for entry, extra in zip(entries, judged(entries[:3]))]
    journal = write(tmp_path / "metrics.jsonl", before)
    after = judged(entries[3:], Health(recipe(Path("runs"), health={"window": 2, "zero_spread": 1.0}), journal))
    assert told(after) == [(1, "-zero_spread")]  # 0.95 is not a tenth inside 1.0, and yet it is over


def test_stop_on_gives_the_reason_and_the_way_on_and_only_while_the_limit_is_passed():
    health = Health(recipe(Path("runs"), health={"window": 2, "stop_on": ["zero_spread"]}), NOWHERE)
    asked = []
    for entry in steps("group/zero_spread", 1.0, 1.0, 1.0, 0.75, 0.75):
        health.judge({**entry, "rollout/truncated": 1.0})  # another alarm, which nobody said to stop on
        asked.append(health.stop)
    assert [reason is not None for reason in asked] == [False, True, True, False, False]
    assert asked[1].startswith("Alarm zero_spread: 100 % of the groups") and "'health.stop_on=[]'" in asked[1]


@pytest.mark.parametrize(("name", "judged_after"), [("missing", 3), ("format_only", 6)])
def test_an_alarm_that_cannot_end_so_short_a_run_is_warned_of(name, judged_after):
    def warnings(steps: int) -> list[str]:
        return never_judged(recipe(Path("runs"), health={"window": 3, "stop_on": [name]}, training={"steps": steps}))

    assert warnings(judged_after + 1) == []
    (warning,) = warnings(judged_after)
    assert f"health.stop_on: {name} is first judged after step {judged_after}" in warning


def test_every_alarm_of_the_recipe_has_a_rule_and_a_line_in_the_documentation():
    keys = [key.removeprefix("health.") for key in known_keys() if key.startswith("health.")]
    names = [key for key in keys if key not in ("stop_on", "window")]
    assert set(names) == set(RULES)
    lines = (Path(__file__).parents[2] / "docs" / "health.md").read_text().splitlines()
    rows = {line.split("|")[1].strip(" `"): line.split("|") for line in lines if line.startswith("| `")}
    assert list(rows) == names
    for name, row in rows.items():
        assert float(row[3]) == getattr(Limits(), name), f"docs/health.md tells another default of {name}"
        assert f"`{METRICS.get(name, 'reward/')}" in row[2], f"docs/health.md does not say what {name} is judged by"
        assert len(row) == 6 and len(row[4]) > 20, "and what to try"
