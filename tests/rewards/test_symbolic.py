"""Dr-LLaVA's reward by hand: what is right, what goes together, and no value of YAML that breaks it."""

import itertools
import json
import os
from pathlib import Path

import pytest

from medrl.plugin import find_file, load_plugin

plugin = load_plugin("rewards/symbolic.py", "compute_score")
score = plugin.target
GRAPH = """
attributes:
  quality: {good: [good], bad: [bad]}
  abnormal: {yes: [abnormal], no: [normal, nothing abnormal]}
  cells: {blasts: [blast], mature: [mature]}
conditions:
  leukemia: {quality: good, abnormal: yes, cells: blasts}
  healthy: {quality: good, abnormal: no, cells: mature}
  unusable: {quality: bad, abnormal: null, cells: ~}
"""


@pytest.fixture
def graph(tmp_path):
    path = tmp_path / "graph.yaml"
    path.write_text(GRAPH)
    return str(path)


def scored(answer, truth, graph, **kwargs):
    return score("x", f"<think>?</think><answer>{answer}</answer>", truth, None, graph=graph, **kwargs)["score"]


@pytest.mark.parametrize(
    "answer, points, agreeing",  # of 3 + 2; silence is -1.5
    [
        ("good, abnormal, blasts", 3, 2),
        ("good, normal, mature", 1, 2),  # wrong, and consistent
        ("good, normal, blasts", 2, 1),  # one pair that no condition has
        ("bad, abnormal, blasts", 2, 1),
        ("good, abnormal", 1.5, 1),  # nothing said of the cells
        ("good, abnormal, blasts, mature", 1.5, 1),  # both said of them: no statement
        ("good, not abnormal; blasts", 1.5, 0),  # "not abnormal" is not yet "normal"
        ("goodness, abnormality, blaster", -1.5, 0),
        ("", -1.5, 0),
    ],
)
def test_by_hand(graph, answer, points, agreeing):
    assert scored(answer, "leukemia", graph) == pytest.approx((points + agreeing + 1.5) / 6.5)
    assert scored(answer, "leukemia", graph, consistency=0.0) == pytest.approx((points + 1.5) / 4.5)


def test_right_beats_consistent_beats_contradictory(graph):
    said = {}
    for values in itertools.product(("good", "bad"), ("abnormal", "normal"), ("blasts", "mature")):
        said[values] = scored(", ".join(values), "leukemia", graph)
    right = said.pop(("good", "abnormal", "blasts"))
    assert right == 1.0 and all(0 <= other < right for other in said.values())
    wrong = {cells: said["good", "normal", cells] for cells in ("mature", "blasts")}
    # the same number of right attributes: the contradictory pair scores below the consistent one
    assert scored("bad, normal, blasts", "healthy", graph) < scored("good, abnormal, blasts", "healthy", graph)
    assert wrong["mature"] < right and wrong["blasts"] < right


def test_json_says_the_same_as_prose(graph):
    for held in (
        {"quality": "good", "abnormal": True, "cells": "blasts"},
        {"Quality": "good", "ABNORMAL": "yes", "cells": "a blast"},
    ):
        assert scored(json.dumps(held), "leukemia", graph) == 1.0
    assert scored('{"abnormal": false}', {"abnormal": False}, graph) == scored("normal", {"abnormal": "no"}, graph)


@pytest.mark.parametrize(
    "truth",
    [
        None,
        "unusable",
        {"quality": None},
        {"abnormal": True},
        {"abnormal": False, "cells": None},
        '{"abnormal": null}',
        "{}",
        {},
    ],
)
def test_bool_and_none_never_raise(graph, truth):
    for answer in (
        "good, abnormal, blasts",
        "null",
        "true",
        '{"quality": null, "abnormal": [true], "cells": {"a": false}}',
        "{}",
    ):
        assert 0 <= scored(answer, truth, graph) <= 1
    assert scored("", truth, graph) == 0.0


def test_conditions_may_be_called_yes_and_no(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text("attributes: {a: {x: [one], y: [two]}}\nconditions: {yes: {a: x}, no: {a: y}, ~: {a: x}}")
    for truth, answer in ((True, "one"), ("yes", "one"), (False, "two"), ("No", "two"), (None, "one")):
        assert scored(answer, truth, str(path)) == 1.0


@pytest.mark.parametrize(
    "truth, told",
    [
        ("AML", "expected one of the conditions leukemia"),
        ({"cells": "pink"}, "cells='pink' is unknown"),
        ("{", "starts like JSON"),
        (7, "conditions"),
    ],
)
def test_a_faulty_row_is_named(graph, truth, told):
    with pytest.raises(ValueError, match=told):
        scored("good", truth, graph)


@pytest.mark.parametrize(
    "text, told",
    [
        ("- a", "expected a mapping"),
        ("attributes: {a: [b]}\nconditions: {}", r"attributes\.a: found"),
        ("attributes: {a: {b: [c]}}\nconditions: {d: {a: e}}", r"conditions\.d: a='e' is unknown"),
        ("attributes: {a: {b: [c], d: [c]}}\nconditions: {}", "listed under"),
        ("attributes: !!python/object/apply:os.getpid []", "could not determine a constructor"),
        ("a: [", "while parsing"),
    ],
)
def test_a_faulty_file_is_named(tmp_path, text, told):
    path = tmp_path / "faulty.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=told) as caught:
        scored("good", "leukemia", str(path))
    assert "faulty.yaml" in str(caught.value)


def test_an_edited_file_is_read_again(graph):
    assert scored("good", {"quality": "good"}, graph, consistency=0.0) == 1.0
    Path(graph).write_text(GRAPH.replace("[good]", "[fine]"))
    os.utime(graph, ns=(1, 1))
    assert scored("fine", {"quality": "good"}, graph, consistency=0.0) == 1.0


def test_the_shipped_graph_is_found_from_anywhere_and_each_condition_is_right_for_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_file("rewards/knowledge/heme.yaml").is_file()
    made = plugin.target.__globals__["knowledge"](
        "rewards/knowledge/heme.yaml", plugin.target.__globals__["make_graph"]
    )
    for name, held in made.conditions.items():
        whole = score("x", f"<answer>{json.dumps(held)}</answer>", name)
        assert whole["correct"] == 1.0 and whole["score"] >= 0.8
