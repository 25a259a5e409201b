"""The crop benchmark runs, says what it must, and finds the same pixels on both sides; how fast is for a quiet machine."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parent.parent.parent / "benchmarks" / "crop.py"


@pytest.fixture(scope="module")
def crop():
    spec = importlib.util.spec_from_file_location("crop_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_prints_a_table_and_one_json_line(crop, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["crop.py", "--rounds", "1", "--crops", "2"])
    monkeypatch.setattr(crop, "SIDES", ((700, 600),))
    crop.main()
    *table, last = capsys.readouterr().out.splitlines()
    said = json.loads(last)
    assert (
        said["error"] == 0
        and said["n"] == 2
        and said["ratio"] > 0
        and set(said["versions"]) == {"medrl", "pillow", "python"}
    )
    assert [line.split("  ")[0] for line in table[1:]] == ["700 x 600", "all"]


def test_a_crop_that_is_off_by_one_pixel_is_seen(crop, monkeypatch):
    right = crop.bare
    monkeypatch.setattr(crop, "bare", lambda picture, box: right(picture, (box[0], box[1], box[2], box[3] - 1)))
    with pytest.raises(AssertionError, match="differ in size"):
        crop.measure((700, 600), 1, 1, np.random.default_rng(0))
    monkeypatch.setattr(crop, "bare", lambda picture, box: right(picture, tuple(edge + 1 for edge in box)))
    assert crop.measure((700, 600), 1, 1, np.random.default_rng(0))[1] > 0
