"""The public grading examples agree in full, through the very reward files that training uses."""

import doctest
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SCRIPT = REPOSITORY / "benchmarks" / "grading.py"
PUBLIC = REPOSITORY.parent / "shared" / "grading" / "replies_public.jsonl"


@pytest.fixture(scope="module")
def grading():
    spec = importlib.util.spec_from_file_location("grading", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["grading"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _public_rows(kinds: tuple[str, ...]) -> list[dict]:
    rows = [json.loads(line) for line in PUBLIC.read_text(encoding="utf-8").split("\n") if line]
    return [row for row in rows if row["kind"] in kinds]


def test_every_public_example_agrees(grading):
    rows = _public_rows(grading.KINDS)
    assert {row["kind"] for row in rows} == set(grading.KINDS)
    for row in rows:
        graded = grading.score(row["kind"], row["reply"], row["ground_truth"], row["options"], row["image_size"])
        expected = {**row["label"], "score": pytest.approx(row["label"]["correct"], abs=1e-6)}
        del expected["correct"]
        assert graded == expected, (row["id"], row["reply"], row["why"])
        assert type(graded["answered"]) is type(graded["format_ok"]) is bool


def test_the_script_prints_a_table_and_one_json_line(grading):
    done = subprocess.run([sys.executable, SCRIPT, PUBLIC], capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.splitlines()
    summary = json.loads(lines[-1])
    rows = _public_rows(grading.KINDS)
    assert summary["ratio"] == 1.0
    assert summary["n"] == len(rows)
    assert set(summary["kinds"]) == set(grading.KINDS)
    assert summary["versions"]["medrl"]
    for kind in grading.KINDS:
        assert any(line.split()[:2] == [kind, str(summary["kinds"][kind]["n"])] for line in lines)


def test_a_differing_label_is_counted_and_named(grading):
    row = {"id": "r1", "kind": "count", "reply": "<answer>7</answer>", "ground_truth": 7}
    row["label"] = {"correct": 0.0, "answered": True, "format_ok": False}
    measured, skipped = grading.measure([row, {**row, "kind": "poem"}])
    assert measured["count"].agree == {"score": 0, "answered": 1, "format_ok": 1, "all": 0}
    assert measured["count"].differing == ["r1"]
    assert skipped == {"poem": 1}


def test_an_unknown_kind_names_the_known_ones(grading):
    with pytest.raises(KeyError, match=r"no reward grades the kind 'poem'. Known kinds: choice, yes_no, count, box, "):
        grading.score("poem", "", "")


def test_doctests(grading):
    assert doctest.testmod(grading).failed == 0
