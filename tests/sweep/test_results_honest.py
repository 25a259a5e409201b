"""That a sweep's results claim no more than its runs can bear: what is missing, mixed or unfinished is said where it is read."""

import csv
import io
import json

import pytest
from html_text import elements
from sweep_runs import STEPS, TABLE, asked, make_run, make_sweep, planned

from medrl.sweep.facts import higher_is_better
from medrl.sweep.results import write_results


def by_name(facts):
    return {point["point"]: point for point in facts["points"]}


def said(sweep, *names):
    """All text of the files that people read."""
    page = (sweep.folder / "index.html").read_text()
    shown = elements(page, "li") + elements(page, "p")
    return {name: shown if name == "page" else (sweep.folder / name).read_text() for name in names}


def first_seeds(count):
    return {point: dict(list(seeds.items())[:count]) for point, seeds in TABLE.items()}


@pytest.mark.parametrize("count", [2, 3])
def test_intervals_over_seeds_say_what_they_cover_and_two_seeds_how_badly(tmp_path, count):
    sweep = make_sweep(tmp_path / "few", first_seeds(count))
    write_results(sweep)
    for text in said(sweep, "page", "table.md", "table.tex").values():
        assert (
            "where the mean over many seeds would lie, on these questions" in text and "another seed's mean" not in text
        )


@pytest.mark.parametrize("count", [2, 3])
def test_differences_over_two_seeds_come_with_what_their_intervals_cover(tmp_path, count):
    sweep = make_sweep(tmp_path / "few", first_seeds(count))
    write_results(sweep)
    for text in said(sweep, "page", "table.md", "table.tex").values():
        assert ("about 87 times in 100 instead of 95" in text) == (count == 2)


@pytest.mark.parametrize(
    ("metric", "higher"),
    [
        ("val/slice_gap", False),
        ("val/worst_slice", True),
        ("val/calibration/confidence/error", False),
        ("val/calibration/confidence/risk_area", False),
        ("val/calibration/confidence/stated", True),
        ("val/reward/confidence/brier", False),
        ("val/reward/confidence/ece", False),
        ("val/tool/fault/unreadable", False),
        ("val/tool/over_turns", False),
        ("val/tool/confirmed", True),
        ("val/reward/answer/score", True),
    ],
)
def test_gaps_errors_and_faults_should_be_small(metric, higher):
    assert higher_is_better(metric) == higher


def test_latex_says_that_a_sweep_is_unfinished(tmp_path):
    table = {"lambda=0": {0: [0.0, 1.0]}, "lambda=0.5": {0: [1.0, 1.0], 1: [1.0, 1.0]}, "lambda=0.9": {1: [1.0, 0.0]}}
    sweep = planned(tmp_path / "half", table)
    for run in sweep.runs:
        ended = (
            {"status": "failed", "reason": "ValueError: a\n\\end{document}"} if run.name == "lambda=0.5,seed=1" else {}
        )
        make_run(sweep, run, asked(2), table[run.point][run.seed], **ended)
    write_results(sweep)
    lines = (sweep.folder / "table.tex").read_text().splitlines()
    row = next(line for line in lines if line.startswith("{}lambda=0.5"))
    assert row.split(" & ")[1] == "1 of 2 (1 failed)"
    assert r"% not done: lambda=0.5,seed=1: failed: ValueError: a \end{document}" in lines
    assert "% lambda=0.9 has no difference: no run of it and of the baseline with the same seed is done." in lines
    assert all(line.startswith("%") for line in lines[lines.index(r"\end{tabular}") + 1 :])


def test_numbers_stay_numbers_in_csv_and_only_texts_are_kept_from_being_formulas(tmp_path):
    settings = {
        "weight=-0.5": {"rewards.format.weight": -0.5, "x": "-1+2"},
        "weight=1": {"rewards.format.weight": 1, "x": True},
    }
    sweep = make_sweep(tmp_path / "signs", {name: {0: [0.0, 1.0]} for name in settings}, settings=settings)
    write_results(sweep)
    for name in ("table.csv", "runs.csv"):
        rows = list(csv.DictReader(io.StringIO((sweep.folder / name).read_text())))
        assert [row["rewards.format.weight"] for row in rows] == ["-0.5", "1"]
        assert [row["x"] for row in rows] == ["'-1+2", "true"]


def without(folder, *names):
    """Take metrics out of a run's journal, as if its recipe had not known them."""
    path = folder / "metrics.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [{key: value for key, value in entry.items() if key not in names} for entry in entries]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in kept))


def test_done_without_the_metric_is_not_told_as_not_done(tmp_path):
    metric = "val/reward/answer/score"
    sweep = make_sweep(tmp_path / "lacking", first_seeds(2), metric=metric)
    for seed in (0, 1):
        without(sweep.folder / f"lambda=0,seed={seed}", metric)
    facts = write_results(sweep)
    assert "the baseline lambda=0 did not record it though it is done" in facts["headline"]
    assert by_name(facts)["lambda=0.5"]["not_compared"] == f"the baseline is done, but did not record {metric}"
    for text in said(sweep, "page", "table.md", "table.tex").values():
        assert f"lambda=0: 2 of 2 runs that are done did not record {metric}." in text
        assert f"lambda=0.5 has no difference: the baseline is done, but did not record {metric}." in text


def test_a_baseline_that_is_not_done_is_told_as_that(tmp_path):
    sweep = planned(tmp_path / "undone", first_seeds(1))
    make_run(sweep, sweep.runs[1], asked(6), TABLE["lambda=0.5"][0])
    facts = write_results(sweep)
    assert "but the baseline lambda=0 has no run that is done" in facts["headline"]
    assert by_name(facts)["lambda=0.5"]["not_compared"].startswith("no run of it and of the baseline")


def test_a_question_without_a_score_is_left_out_and_counted_and_nothing_else(tmp_path):
    sweep = make_sweep(tmp_path / "holes", TABLE, metric="val/reward/answer/score")
    path = sweep.folder / f"lambda=0.5,seed=1/eval/step_{STEPS:06d}.json"
    stored = json.loads(path.read_text())
    stored["rows"][0]["scores"] = {}
    path.write_text(json.dumps(stored))
    facts = write_results(sweep)
    found = by_name(facts)["lambda=0.5"]["difference"]
    expected = [[(a - b) / 2 for a, b in zip(TABLE["lambda=0.5"][s][1:], TABLE["lambda=0"][s][1:])] for s in range(3)]
    assert (found["n"], found["seeds"], found["left_out"]) == (5, 3, 1)
    assert found["mean"] == pytest.approx(sum(map(sum, expected)) / 15)
    assert facts["ranking"]["seeds"] == [0, 1, 2] and facts["ranking"]["left_out"] == 1
    for text in said(sweep, "page", "table.md", "table.tex").values():
        assert (
            "1 questions without a value" not in text and "lambda=0.5: 1 question without a value in some run" in text
        )


def test_other_questions_asked_are_still_an_error(tmp_path):
    sweep = make_sweep(tmp_path / "other", {"a": {0: [0.0, 1.0, 1.0, 0.0]}, "b": {0: [1.0, 1.0, 0.0]}})
    facts = write_results(sweep)
    assert by_name(facts)["b"]["difference"] is None and "3 in common" in facts["ranking"]["note"]


def with_cards(folder, changes):
    """A finished sweep whose runs have cards; `changes`: of the card and of the recipe's estimator, by run."""
    sweep = make_sweep(folder, first_seeds(2))
    for run in sweep.runs:
        card = {"git_commit": "a" * 40, "data_sha256": {"train": "1" * 64, "val": "2" * 64}, "advantage_sha256": None}
        card |= {"reward_sha256": {"answer": "3" * 64}, "packages": {"torch": "2.11.0"}, "changed_since_start": []}
        path = sweep.run_dir(run)
        (path / "card.json").write_text(json.dumps(card | changes.get(run.name, {})))
        if own := changes.get(f"{run.name} estimator"):
            text = (path / "recipe.yaml").read_text()
            assert text.count("advantage: grpo") == 1
            (path / "recipe.yaml").write_text(text.replace("advantage: grpo", f"advantage: {own}"))
    return sweep, write_results(sweep)


@pytest.mark.parametrize(
    ("change", "begins"),
    [
        ({"git_commit": "a" * 40 + "-dirty"}, "medrl's commit is not the same in all: aaaaaaaaaaaa in"),
        (
            {"data_sha256": {"train": "1" * 64, "val": "9" * 64}},
            "the data of val is not the same in all: 222222222222 in",
        ),
        ({"reward_sha256": {"answer": "8" * 64}}, "the file of reward answer is not the same in all: 333333333333 in"),
        ({"packages": {"torch": "2.12.0"}}, "the version of package torch is not the same in all: 2.11.0 in"),
        ({"advantage_sha256": "7" * 64}, "the estimator's file is not the same in all: none in"),
        (
            {"changed_since_start": ["reward_sha256"]},
            "lambda=0.5,seed=1 was resumed with other parts than it began with",
        ),
    ],
)
def test_runs_of_other_code_or_data_are_named_on_page_and_in_tables(tmp_path, change, begins):
    sweep, facts = with_cards(tmp_path / "cards", {"lambda=0.5,seed=1": change})
    assert len(facts["problems"]) == 1 and begins in facts["problems"][0]
    for text in said(sweep, "page", "table.md", "table.tex").values():
        assert begins in text and "lambda=0.5,seed=1" in text


def test_what_differs_with_the_recipe_is_no_fault(tmp_path):
    same = with_cards(tmp_path / "same", {})[1]
    names = [f"lambda=0.5,seed={seed}" for seed in (0, 1)]
    changes = {name: {"advantage_sha256": "7" * 64, "reward_sha256": {"own": "5" * 64}} for name in names}
    changes |= {f"{name} estimator": "own.py" for name in names}
    assert same["problems"] == with_cards(tmp_path / "swept", changes)[1]["problems"] == []


def test_a_card_of_the_wrong_shape_stops_nothing(tmp_path):
    odd = {
        "data_sha256": ["x"],
        "reward_sha256": None,
        "git_commit": "\ud800",
        "changed_since_start": 3,
        "packages": {"": {}},
    }
    _, facts = with_cards(tmp_path / "odd", {"lambda=0,seed=0": odd})
    assert facts["problems"] and facts["headline"]
