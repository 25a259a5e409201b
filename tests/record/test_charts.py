"""The charts: what is drawn is what was recorded, in any range, and every metric finds a place."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from medrl.record import panels
from medrl.record.alarms import Raised
from medrl.record.charts import Curve, line_chart, nice_ticks, number_text, running_mean, stacked_chart, thin

HOSTILE = '</svg><script>alert(1)</script>" onload="alert(1)'


def drawn(svg, kind="line"):
    """The points (x, y) of each path of a kind, in SVG units; the SVG must be well-formed XML."""
    paths = [path for path in ElementTree.fromstring(svg).iter("path") if kind in path.get("class").split()]
    return [
        [tuple(map(float, pair.split(","))) for pair in re.findall(r"[-\d.]+,[-\d.]+", path.get("d"))] for path in paths
    ]


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("text")]


def test_line_goes_from_the_first_step_to_the_last_and_up_when_the_value_rises():
    svg = line_chart([Curve("reward", [(0, 0.4), (60, 0.5), (120, 0.8)])], title="Held-out reward", unit="points")
    ((left, low), (middle, between), (right, high)) = drawn(svg)[0]
    assert middle - left == pytest.approx(right - middle, abs=0.02)
    assert low - between == pytest.approx((between - high) / 3, abs=0.02)  # SVG counts downwards
    assert {"step", "0", "points"} <= set(texts(svg))
    assert 'aria-label="Held-out reward. reward: 0.4 at step 0, 0.8 at step 120 points."' in svg


@pytest.mark.parametrize("gap", [float("nan"), float("inf"), -float("inf"), 1e305])
def test_value_that_is_not_finite_is_a_gap_and_not_a_zero(gap):
    svg = line_chart([Curve("loss", [(0, 1.0), (1, 2.0), (2, gap), (3, 2.0), (4, 1.0)])], title="loss")
    assert len(drawn(svg)[0]) == 4
    path = next(path for path in ElementTree.fromstring(svg).iter("path"))
    assert path.get("d").count("M") == 2
    assert path.get("data-points") == "0:1 1:2 3:2 4:1"


@pytest.mark.parametrize("points", [[], [(0, math.nan)], [(3, math.inf), (4, math.nan)]])
def test_nothing_recorded_is_said(points):
    for chart in (line_chart, stacked_chart):
        assert "nothing recorded yet" in chart([Curve("loss", points)], title="loss")


@pytest.mark.parametrize(
    "points",
    [
        [(0, 0.0)], [(7, 1e-9)], [(0, 5.0), (1, 5.0)], [(0, -1.0), (1, 1.0)], [(0, 1e250), (1, -1e250)], [(0, 1e-300), (1, 2e-300)],
        [(10**6, 0.1), (10**6 + 1, 0.1 + 1e-17)], [(0, 1e15), (1, 1e15 + 1)],
    ],
)  # fmt: skip
def test_any_range_is_drawn_inside_the_picture(points):
    for svg in (line_chart([Curve("x", points)], title="x"), stacked_chart([Curve("x", points)], title="x")):
        for path in [*drawn(svg), *drawn(svg, "stack")]:
            assert all(0 <= x <= 340 and -0.5 <= y <= 190.5 for x, y in path)


def test_equal_values_stay_a_flat_line_after_the_running_mean():
    """A mean of seven times 0.01 differs in its last digits; stretched over the axis it would look like a jump."""
    points = [(step, 0.01) for step in range(200)]
    heights = {y for _, y in drawn(line_chart([Curve("lr", running_mean(points, 7))], title="lr"))[0]}
    assert len(heights) == 1


def test_nothing_but_zeros_stands_on_the_axis():
    svg = line_chart([Curve("truncated", [(1, 0.0), (2, 0.0)])], title="truncated")
    assert texts(svg)[0] == "0.00"
    assert not [text for text in texts(svg) if text.startswith("−")]


def test_long_curve_is_thinned_to_500_points_and_keeps_its_spikes():
    points = [(step, math.sin(step / 300)) for step in range(10_000)]
    points[5_000] = (5_000, 9.0)
    points[7_777] = (7_777, -9.0)
    kept = thin(points)
    assert len(kept) <= 500
    assert kept == sorted(kept)
    assert {points[0], points[-1], points[5_000], points[7_777]} <= set(kept)
    assert len(drawn(line_chart([Curve("x", points)], title="x"))[0]) <= 500
    assert all(len(path) <= 1000 for path in drawn(stacked_chart([Curve("x", points)], title="x"), "stack"))


def test_long_gap_survives_thinning():
    points = [(step, math.nan if 2_000 <= step < 4_000 else 1.0) for step in range(10_000)]
    assert any(math.isnan(value) for _, value in thin(points))


def test_band_surrounds_its_curve_and_widens_the_axis():
    points = [(0, 0.4), (1, 0.6)]
    svg = line_chart([Curve("v", points, band=[(0, 0.3, 0.5), (1, 0.5, 2.9)])], title="v")
    upper_left, upper_right, lower_right, lower_left = drawn(svg, "band")[0]
    (left, right) = drawn(svg)[0]
    assert upper_left[1] < left[1] < lower_left[1]
    assert upper_right[1] < right[1] < lower_right[1]
    assert "3" in texts(svg)


def test_single_baseline_value_is_drawn_across():
    svg = line_chart([Curve("v", [(0, 0.4), (90, 0.6)]), Curve("constant", [(90, 0.2)], 2, dashed=True)], title="v")
    (left, right), (baseline_left, baseline_right) = drawn(svg, "line")
    assert (baseline_left[0], baseline_right[0]) == (left[0], right[0])
    assert baseline_left[1] == baseline_right[1]


def test_stack_adds_up():
    parts = [Curve("generate", [(1, 1.0), (2, 1.0)]), Curve("update", [(1, 2.0), (2, 3.0)], 3)]
    below, above = drawn(stacked_chart(parts, title="time"), "stack")
    floor = below[-1][1]
    height = floor - below[0][1]
    assert floor - above[0][1] == pytest.approx(3 * height, abs=0.05)
    assert floor - above[1][1] == pytest.approx(4 * height, abs=0.05)


def test_hostile_name_stays_text():
    curve = Curve(HOSTILE, [(0, 1.0), (1, 2.0)])
    for chart in (line_chart, stacked_chart):
        svg = chart([curve], title=HOSTILE, unit=HOSTILE)
        root = ElementTree.fromstring(svg)
        assert {element.tag for element in root.iter()} <= {"svg", "path", "line", "text", "g", "circle"}
        assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (0.42, 0.78, [0.4, 0.5, 0.6, 0.7, 0.8]),
        (0, 120, [0, 50, 100, 150]),
        (-3, 4, [-4, -2, 0, 2, 4]),
    ],
)
def test_ticks_are_round_and_cover_the_range(low, high, expected):
    assert nice_ticks(low, high) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (-3, "−3"), (0.5, "0.5"), (-0.0123456, "−0.0123"), (99.96, "100"), (12345.6, "12,346"), (2e-6, "2e-6"),
     (-2.5e-7, "−2.5e-7"), (3e12, "3e12"), (math.inf, "–")],
)  # fmt: skip
def test_numbers_read_well(value, expected):
    assert number_text(value) == expected


def test_marked_steps_are_shaded_inside_the_plot_and_wide_enough_to_be_seen():
    points = [(float(step), 0.5) for step in range(1001)]
    marked = [(0, 99), (500, 500), (900, 1000), (0, 0), (1000, 1000)]
    root = ElementTree.fromstring(line_chart([Curve("a", points)], title="t", marked=marked))
    left, right = float(root.get("data-left")), float(root.get("data-right"))
    shades = [element for element in root.iter() if element.get("class") == "marked"]
    edges = [(float(shade.get("x")), float(shade.get("x")) + float(shade.get("width"))) for shade in shades]
    assert len(edges) == 5 and all(left <= start < stop <= right + 1e-6 for start, stop in edges)
    assert edges[0] == pytest.approx((left, left + 0.0995 * (right - left)), abs=0.02)
    assert [edges[place][1] - edges[place][0] for place in (1, 3, 4)] == pytest.approx([3, 3, 3], abs=0.02)
    assert edges[2][1] == pytest.approx(right)


# --- which metric stands where ----------------------------------------------------------------------------------------


def test_every_metric_is_drawn_once():
    names = {"val/reward", "val/reward_low", "val/reward_high", "val/greedy_reward", "val/constant_answer", "val/parse_rate",
             "reward/mean", "reward/answer/score", "rollout/length", "rollout/truncated", "policy/entropy", "policy/kl",
             "group/zero_spread", "time/generate_s", "time/step_s", "my_reward/novel", "reward/answer/answered"}  # fmt: skip
    stages = panels.collect({"stage": "grpo", "step": step, **dict.fromkeys(names, 0.5)} for step in range(5))
    hero, tiles, (others, unshown) = panels.hero(stages), panels.grid(stages), panels.others(stages)
    assert hero.title == "Held-out reward"
    assert [key.label for key in hero.keys] == ["sampled, with its 95 % interval", "greedy", "best constant answer"]
    assert [figure.title for figure in others] == ["my_reward/novel", "reward/answer/answered"]
    assert not unshown
    titles = [figure.title for tile in tiles for figure in tile]
    assert len(titles) == len(set(titles)) == 8
    assert [key.label for key in tiles[0][0].keys] == ["mean", "answer"]


def test_held_out_values_without_a_held_out_reward_are_not_lost():
    stages = panels.collect([{"step": 1, "reward/mean": 0.5, "val/greedy_reward": 0.6}])
    assert panels.hero(stages).title == "Training reward"
    assert [figure.title for figure in panels.others(stages)[0]] == ["val/greedy_reward"]


def test_cold_start_and_grpo_never_share_an_axis():
    records = [
        {"stage": "sft", "step": 900, "sft/loss": 1.0, "optimizer/lr": 1.0},
        {"stage": "grpo", "step": 1, "optimizer/lr": 2.0},
    ]
    stages = panels.collect(records)
    assert stages == {
        "sft": {"sft/loss": [(900, 1.0)], "optimizer/lr": [(900, 1.0)]},
        "grpo": {"optimizer/lr": [(1, 2.0)]},
    }
    assert [figure.title for figure in panels.others(stages)[0]] == ["sft: optimizer/lr"]
    assert panels.hero({"sft": stages["sft"]}).title == "Cold start: loss"


def test_step_written_twice_counts_once_and_odd_values_are_no_points():
    records = [
        {"step": 1, "a": 1.0}, {"step": 2, "a": 5.0}, {"step": 2, "a": 2.0, "text": "x", "flag": True, "list": [1]},
        {"step": 3, "a": None}, {"step": "x", "a": 1.0}, {"a": 1.0}, {"step": 10**400, "a": 1.0}, {"step": 4, "a": 10**400},
    ]  # fmt: skip
    (series,) = panels.collect(records).values()
    assert list(series) == ["a"]
    assert series["a"][:2] == [(1, 1.0), (2, 2.0)]
    assert [step for step, value in series["a"] if math.isnan(value)] == [3, 4]


def test_what_no_part_accounts_for_is_called_other():
    stages = panels.collect([{"step": 1, "time/generate_s": 2.0, "time/update_s": 1.0, "time/step_s": 4.5}])
    (figure,) = [figure for tile in panels.grid(stages) for figure in tile]
    assert [(key.label, key.value) for key in figure.keys] == [
        ("other", "1.5 s"),
        ("update", "1 s"),
        ("generate", "2 s"),
    ]


def test_too_many_metrics_are_named_instead_of_drawn():
    stages = panels.collect([{"step": 1, **{f"x/{number:03d}": 1.0 for number in range(100)}}])
    figures, unshown = panels.others(stages)
    assert len(figures) == 80
    assert unshown == [f"x/{number:03d}" for number in range(80, 100)]


def test_many_steps_are_drawn_faint_behind_their_mean():
    stages = panels.collect({"step": step, "policy/entropy": float(step % 2)} for step in range(200))
    svg = panels.grid(stages)[0][0].svg
    assert len(drawn(svg, "faint")) == 1
    assert len(drawn(svg)) == 2


def test_an_alarm_is_shaded_on_its_own_metric_and_named_below():
    records = [{"step": step, "policy/entropy": 1.0, "reward/mean": 0.5, "rollout/length": 9.0, "health/length_drift": 0.0}
               for step in range(9)]  # fmt: skip
    raised = [
        Raised(name, 2, 5, False, 1.0, 0.5, "why") for name in ("entropy_collapse", "format_only", "of a later medrl")
    ]
    figures = [figure for tile in panels.grid(panels.collect(records), raised) for figure in tile]
    notes = {figure.title: figure.note for figure in figures}
    assert notes == {
        "Training reward and its components": "Shaded: alarm format_only, of a later medrl.",
        "Entropy of the policy": "Shaded: alarm entropy_collapse.",
        "Reply length": "",
    }
    assert [figure.svg.count('class="marked"') for figure in figures] == [2, 0, 1]
    assert panels.others(panels.collect(records)) == ([], []), "0 and 1 of the alarms are the page's list"
