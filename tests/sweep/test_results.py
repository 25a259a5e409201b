"""What a sweep came to: hand-worked numbers, runs in every state, and tables that stand whatever the names are."""

import csv
import io
import json
import re
import shutil
from dataclasses import replace

import pytest
from html_text import elements
from sweep_runs import STEPS, TABLE, asked, make_run, make_sweep, planned

from medrl.errors import MedrlError
from medrl.evaluation.paired import difference_over_seeds, holm
from medrl.sweep.layout import read_sweep
from medrl.sweep.outcomes import by_question
from medrl.sweep.results import write_results
from medrl.sweep.state import note_attempt
from medrl.sweep.words import best_point, headline

HOSTILE = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">|a_b&c%\u202e'


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(sweep, facts) of two points with three seeds each, all completed."""
    sweep = make_sweep(tmp_path_factory.mktemp("finished") / "shaped")
    return sweep, write_results(sweep)


def copied(finished, folder):
    """The finished sweep in a folder of its own."""
    shutil.copytree(finished[0].folder, folder)
    return read_sweep(folder)


def by_name(facts):
    return {point["point"]: point for point in facts["points"]}


def answers(values):
    return {f"q{place}": value for place, value in enumerate(values)}


def test_means_intervals_and_difference_worked_by_hand(finished):
    _, facts = finished
    base, other = by_name(facts)["lambda=0"], by_name(facts)["lambda=0.5"]
    assert base["values"] == pytest.approx({"0": 3 / 6, "1": 2.5 / 6, "2": 3.5 / 6})
    half = 4.302653 * (0.5 / 6) / 3**0.5  # Student's t of two degrees of freedom, times the standard error
    assert [base["mean"], base["low"], base["high"]] == pytest.approx([0.5, 0.5 - half, 0.5 + half], abs=1e-6)
    assert (base["interval_over"], base["gain"], base["difference"]) == ("seeds", pytest.approx(0.5), None)
    assert other["mean"] == pytest.approx(15.5 / 18)
    expected = difference_over_seeds(
        *({s: answers(v) for s, v in TABLE[name].items()} for name in ("lambda=0.5", "lambda=0"))
    )
    found = other["difference"]
    assert found["mean"] == pytest.approx(6.5 / 18) == expected.mean
    assert [found["low"], found["high"], found["p"], found["n"], found["seeds"]] == pytest.approx(
        [expected.low, expected.high, expected.p, 6, 3]
    )
    assert found["p_holm"] == found["p"]
    assert 0 < found["bootstrap_low"] < found["mean"] < found["bootstrap_high"]
    assert other["standing"]["first"] > 0.99 and facts["ranking"]["seeds"] == [0, 1, 2]
    assert facts["ranking"]["tau"] == 1.0
    assert (base["seconds"], base["parse_rate"], base["length"]) == (70.0, 1.0, 12.0)
    assert base["tokens"] == STEPS * 12 * 4 * 4  # steps, tokens, prompts, attempts
    assert base["core_seconds"] == 70.0


def test_facts_are_plain_json_and_every_file_is_there(finished):
    sweep, facts = finished
    assert json.loads((sweep.folder / "results.json").read_text()) == facts
    assert sorted(facts["files"]) == ["index.html", "runs.csv", "table.csv", "table.md", "table.tex"]
    assert all(path.startswith(str(sweep.folder)) for path in facts["files"].values())
    assert not {"runs", "sweep"} & set(facts)  # the command's own
    assert read_sweep(sweep.folder) == sweep


def test_headline_says_what_won_by_how_much_and_how_sure(finished):
    _, facts = finished
    assert facts["headline"].startswith("lambda=0.5 is better than the baseline lambda=0: val/reward 0.861 [")
    assert "another seed may differ" not in facts["headline"]
    assert "a difference of +0.361 [+" in facts["headline"] and "over 3 seeds." in facts["headline"]


def test_csv_gives_the_numbers_back_unrounded(finished):
    sweep, facts = finished
    rows = list(csv.DictReader(io.StringIO((sweep.folder / "table.csv").read_text())))
    other = by_name(facts)["lambda=0.5"]
    assert [row["point"] for row in rows] == list(TABLE) and rows[1]["algorithm.kwargs.lambda"] == "1"
    assert float(rows[1]["difference_low"]) == other["difference"]["low"] and float(rows[1]["mean"]) == other["mean"]
    runs = list(csv.DictReader(io.StringIO((sweep.folder / "runs.csv").read_text())))
    assert [row["run"] for row in runs] == [run.name for run in sweep.runs]
    assert [float(row["value"]) for row in runs] == pytest.approx([3 / 6, 2.5 / 6, 3.5 / 6, 5 / 6, 5 / 6, 5.5 / 6])


def test_latex_is_a_booktabs_table_with_the_certain_best_in_bold(finished):
    sweep, _ = finished
    text = (sweep.folder / "table.tex").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    assert lines[0] == r"\begin{tabular}{lrlll}" and lines[-1] == r"\end{tabular}"
    assert [lines[1], lines[3], lines[-2]] == [r"\toprule", r"\midrule", r"\bottomrule"]
    rows = [lines[2], *lines[4:-2]]
    assert all(row.endswith(r" \\") and row.count(" & ") == 4 for row in rows)
    assert "\\textbf" not in rows[1] and rows[2].startswith(r"{}lambda=0.5 & 3 & \textbf{0.861 [")
    assert text.isascii()


def test_p_values_are_adjusted_for_the_number_of_points(tmp_path):
    table = {**TABLE, "lambda=0.9": {0: [0.5, 0.0, 1.0, 1.0, 0.5, 0.0], 1: [0.0, 0.5, 0.5, 1.0, 0.5, 0.5]}}
    facts = write_results(make_sweep(tmp_path / "three", table))
    found = [point["difference"] for point in facts["points"] if point["difference"]]
    assert [one["seeds"] for one in found] == [3, 2]
    assert [one["p_holm"] for one in found] == holm([one["p"] for one in found]) != [one["p"] for one in found]
    assert "adjusted after Holm for 2 comparisons" in (tmp_path / "three/table.md").read_text()


def test_one_seed_has_an_interval_over_questions_and_says_so(tmp_path):
    table = {point: {0: seeds[0]} for point, seeds in TABLE.items()}
    sweep = make_sweep(tmp_path / "one", table)
    facts = write_results(sweep)
    assert [point["interval_over"] for point in facts["points"]] == ["questions", "questions"]
    assert by_name(facts)["lambda=0.5"]["difference"]["seeds"] == 1
    assert "with one seed. Where there is only one seed, this is said of its two runs" in facts["headline"]
    said = (sweep.folder / "table.md").read_text()
    assert "With one seed the interval is a bootstrap over questions" in said and "Student" not in said
    assert "firmer than it is" in (sweep.folder / "index.html").read_text()


def test_runs_in_every_state_are_shown_with_their_reasons_and_stop_nothing(tmp_path):
    points = {f"lambda={place}": {0: [0.0, 0.5, 1.0], 1: [0.5, 0.5, 1.0]} for place in range(4)}
    sweep = planned(tmp_path / "half", points)
    runs, questions = {run.name: run for run in sweep.runs}, asked(3)
    (sweep.folder / "logs").mkdir()
    for name in ("lambda=0,seed=0", "lambda=0,seed=1", "lambda=1,seed=0"):
        make_run(sweep, runs[name], questions, points["lambda=0"][runs[name].seed])
    failed = make_run(sweep, runs["lambda=1,seed=1"], questions, [1.0] * 3)
    (failed / "summary.json").write_text(r'{"status": "failed", "reason": "RewardTimeout: took \ud800 5 s"}')
    make_run(sweep, runs["lambda=2,seed=0"], questions, [1.0] * 3, status="stopped", reason="alarm entropy_collapse")
    killed = make_run(sweep, runs["lambda=2,seed=1"], questions, [1.0] * 3)
    (killed / "summary.json").write_text('{"status": "comp')
    with (killed / "metrics.jsonl").open("a") as journal:
        journal.write('{"stage": "grpo", "alarms": [{"name": "length_drift"}], "step": 4}\n{"stage": "gr')
    reason = "exit code 2: medrl: data.train: no such file"
    note_attempt(sweep, runs["lambda=3,seed=0"], code=2, reason=reason)
    facts = write_results(sweep)
    states = {one["name"]: (one["status"], one["reason"]) for one in facts["outcomes"]}
    assert states["lambda=1,seed=1"] == ("failed", "RewardTimeout: took \\ud800 5 s")
    assert states["lambda=2,seed=0"] == ("stopped", "alarm entropy_collapse")
    assert states["lambda=2,seed=1"] == ("interrupted", None)
    assert states["lambda=3,seed=0"] == ("failed", reason)
    assert states["lambda=3,seed=1"] == ("new", None)
    found = by_name(facts)
    assert [found[f"lambda={place}"]["seeds"] for place in range(4)] == [2, 1, 0, 0]
    assert found["lambda=1"]["difference"]["mean"] == 0.0 and found["lambda=2"]["mean"] is None
    assert found["lambda=2"]["alarms"] == {"length_drift": 1}
    assert "So far 3 of 8 runs are done." in facts["headline"] and "No difference" in facts["headline"]
    assert any("metrics.jsonl: 1 line could not be read" in problem for problem in facts["problems"])
    for name in ("table.md", "index.html"):
        text = (sweep.folder / name).read_text()
        assert all(words in text for words in ("entropy_collapse", "no such file", "lambda=3,seed=1", "RewardTimeout"))


def test_a_cut_off_evaluation_leaves_the_seeds_means_to_compare(tmp_path, finished):
    sweep = copied(finished, tmp_path / "cut")
    (sweep.folder / f"lambda=0.5,seed=1/eval/step_{STEPS:06d}.json").write_text('{"rows": [')
    facts = write_results(sweep)
    found = by_name(facts)["lambda=0.5"]["difference"]
    assert (found["n"], found["seeds"], found["mean"]) == (0, 3, pytest.approx(6.5 / 18))
    assert any(
        problem.startswith("lambda=0.5,seed=1: step_000004.json could not be read") for problem in facts["problems"]
    )


def test_points_on_other_questions_are_not_compared_and_it_is_said_why(tmp_path):
    sweep = make_sweep(tmp_path / "other", {"a": {0: [0.0, 1.0, 1.0, 0.0]}, "b": {0: [1.0, 1.0, 0.0]}})
    point = by_name(write_results(sweep))["b"]
    assert point["difference"] is None and "3 and 4 questions, 3 in common" in point["not_compared"]
    assert "b has no difference: runs on different questions" in (sweep.folder / "table.md").read_text()


@pytest.mark.parametrize("table", [{"recipe": {0: [0.0, 1.0]}}, {"a": {0: [1.0, 1.0]}, "b": {}}, {"a": {}}])
def test_one_point_or_nothing_at_all_still_gives_every_file(tmp_path, table):
    table = {point: seeds or {5: []} for point, seeds in table.items()}
    sweep = planned(tmp_path / "small", table)
    for run in sweep.runs:
        if table[run.point][run.seed]:
            make_run(sweep, run, asked(2), table[run.point][run.seed])
    facts = write_results(sweep)
    assert all((sweep.folder / name).stat().st_size for name in facts["files"])
    measured = any(point["mean"] is not None for point in facts["points"])
    assert facts["headline"].startswith("No run has") != measured


def test_an_unknown_metric_is_an_error_with_near_names(finished):
    sweep, _ = finished
    with pytest.raises(MedrlError, match=r"metric='val/rewrad': no validation .* Near: val/reward"):
        write_results(replace(sweep, metric="val/rewrad"))


@pytest.mark.parametrize(
    ("metric", "questions", "mean"),
    [("val/reward/answer/score", 6, 6.5 / 36), ("val/greedy_reward", 0, 6.5 / 18), ("val/length", 6, 0.0)],
)
def test_other_metrics_are_paired_by_question_where_rows_tell_them(tmp_path, finished, metric, questions, mean):
    facts = write_results(replace(copied(finished, tmp_path / "metric"), metric=metric))
    found = by_name(facts)["lambda=0.5"]["difference"]
    assert (found["n"], found["mean"]) == (questions, pytest.approx(mean))
    assert facts["higher_is_better"] == (metric != "val/length")
    if metric == "val/greedy_reward":
        assert "not kept by question" in (tmp_path / "metric/table.md").read_text()


def test_rows_of_the_wrong_shape_are_passed_over():
    rows = [
        None,
        {"sample_id": 1, "scores": []},
        {"sample_id": 1, "scores": {"a/score": "x"}},
        {"scores": {"a/score": 1}},
    ]
    assert by_question(rows, "val/reward/a/score") == {"None": 1.0}
    assert by_question(rows, "val/tool/turns") == {}


def test_hostile_names_and_reasons_stay_text_in_every_file(tmp_path):
    settings = {"=cmd()": {"data.train": HOSTILE}, "b_%": {"data.train": "b"}}
    table = {"=cmd()": {0: [0.0, 1.0]}, "b_%": {0: [1.0, 1.0], 1: [1.0, 1.0]}}
    sweep = planned(tmp_path / "hostile", table, settings=settings)
    for run in sweep.runs:
        more = {"status": "failed", "reason": HOSTILE} if run.seed else {}
        make_run(sweep, run, asked(2), table[run.point][run.seed], **more)
    write_results(sweep)
    page = (sweep.folder / "index.html").read_text()
    assert page.count("<script") == 1 and "<img" not in page and "\u202e" not in page
    assert HOSTILE.replace("\u202e", "⟨U+202E⟩") in elements(page, "li")
    cells = [
        cell for name in ("table.csv", "runs.csv") for row in csv.reader((sweep.folder / name).open()) for cell in row
    ]
    assert "'=cmd()" in cells and not any(cell.startswith("=") for cell in cells)
    markdown = (sweep.folder / "table.md").read_text()
    assert "<script" not in markdown and "\u202e" not in markdown
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in markdown.splitlines() if line.startswith("|")}
    assert len(widths) == 1
    assert r"{}b\_\% & 1 of 2 (1 failed) &" in (sweep.folder / "table.tex").read_text()


@pytest.mark.parametrize(
    ("baseline", "begins"),
    [
        ("lambda=0", "lambda=0.5 is better than the baseline lambda=0: val/length"),
        ("lambda=0.5", "Nothing is better than the baseline lambda=0.5"),
    ],
)
def test_less_is_better_of_lengths_and_a_point_that_is_worse_is_named_so(finished, baseline, begins):
    facts = json.loads(json.dumps(finished[1])) | {
        "metric": "val/length",
        "higher_is_better": False,
        "baseline": baseline,
    }
    for point, difference, mean in zip(facts["points"], (2.0, -2.0), (14.0, 12.0)):
        found = {"mean": difference, "low": difference - 1, "high": difference + 1, "p_holm": 0.0004, "seeds": 3}
        point |= {"difference": None if point["point"] == baseline else found, "mean": mean}
    said = headline(facts)
    assert said.startswith(begins)
    assert ("Worse: lambda=0 +2.000 [+1.000, +3.000]." in said) == (baseline == "lambda=0.5")
    assert ("p < 0.001" in said) == (baseline == "lambda=0")
    assert best_point(facts)["point"] == "lambda=0.5"
