"""Names say what differs, fit a file system, and never mean two runs."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from medrl.sweep.names import LONGEST, point_names, run_name, short_keys

SAFE = re.compile(r"[A-Za-z0-9._+=,-]+")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=3,
)
PART = st.from_regex(r"[a-zA-Z_ é]{1,12}", fullmatch=True)
KEYS = st.lists(PART, min_size=1, max_size=3).map(".".join)
POINTS = st.lists(st.dictionaries(KEYS, VALUES, max_size=4), min_size=1, max_size=5, unique_by=repr)


@settings(max_examples=40)
@given(POINTS)
def test_names_are_unique_file_safe_and_short(points):
    names = [run_name(name, 2**32 - 1) for name in point_names(points)]
    assert all(SAFE.fullmatch(name) and len(name) <= LONGEST and name[0] not in ".-" for name in names), names
    distinct = {repr(point) for point in points}
    assert len({name.casefold() for name in names}) == len(distinct)


def test_a_name_is_what_differs():
    points = [
        {"algorithm.kwargs.lambda": 0, "algorithm.advantage": "uadt"},
        {"algorithm.kwargs.lambda": 0.25, "algorithm.advantage": "grpo"},
    ]
    assert point_names(points) == ["lambda=0,advantage=uadt", "lambda=0.25,advantage=grpo"]
    assert run_name("lambda=0.25", 1) == "lambda=0.25,seed=1"


def test_values_of_every_kind_have_a_short_text():
    others = ["rewards-box.py-iou", "choice+open", "a-b-c"]
    values = [None, True, 1e-06, 0.1, "Qwen/Qwen2.5-VL-7B-Instruct", "rewards/box.py:iou", ["choice", "open"], "a b=c"]
    written = [name.removeprefix("x=") for name in point_names([{"a.x": value} for value in values])]
    assert written == ["none", "true", "1e-06", "0.1", "Qwen-Qwen2.5-VL-7B-Instruct", *others]


def test_a_minus_sign_stays():
    values = [-0.5, -1, 1, "-x", [-0.5, 1], [-1e-06, -2], {"b": -1}]
    written = [name.removeprefix("x=") for name in point_names([{"a.x": value} for value in values])]
    assert written == ["-0.5", "-1", "1", "-x", "-0.5+1", "-1e-06+-2", "b--1"]


def test_a_path_is_written_whole_or_as_its_end_with_a_hash():
    assert point_names([{"m.path": "one/model"}, {"m.path": "two/model"}]) == ["path=one-model", "path=two-model"]
    (long,) = point_names([{"m.path": "/data/models/of/this/house/checkpoint/"}])
    assert re.fullmatch("path=checkpoint-[0-9a-f]{8}", long)


def test_no_key_is_called_seed_and_keys_grow_until_they_differ():
    assert short_keys(["data.options.seed", "optimizer.lr"]) == {
        "data.options.seed": "options.seed",
        "optimizer.lr": "lr",
    }
    assert list(short_keys(["a.b.x", "c.b.x", "d.x"]).values()) == ["a.b.x", "c.b.x", "d.x"]


def test_a_point_that_changes_nothing_has_a_name():
    assert point_names([{}, {"training.steps": 3}]) == ["recipe", "steps=3"]


def test_a_further_point_of_the_same_keys_renames_no_other():
    few = [{"a.x": "left/one"}, {"a.x": 2}]
    assert point_names([*few, {"a.x": "three"}, {"a.x": "right/one"}])[:2] == point_names(few)
