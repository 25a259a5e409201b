"""What the bundled rewards share: verl's signature, doctests that hold, nothing for no answer, and no key but theirs."""

import doctest
import inspect

import pytest

from medrl.plugin import SHIPPED, load_plugin
from medrl.scoring.signature import ARGUMENTS, NAMES

ROWS = {
    "choice": ("B", {"options": {"A": "MRI", "B": "CT"}}, "B"),
    "yes_no": ("no", {}, "no"),
    "count": ("4", {}, "four"),
    "box": ("[1, 2, 30, 40]", {"image_size": [64, 48]}, "[1, 2, 30, 40]"),
    "boxes": ("[[1, 2, 30, 40]]", {"image_size": [64, 48]}, "[[1, 2, 30, 40]]"),
    "points": ("[[1, 2]]", {}, "[[1, 2]]"),
    "multi_choice": ("A,C", {"options": {"A": "MRI", "B": "CT", "C": "PET"}}, "C and A"),
    "open_short": ("GGO", {}, "a GGO"),
    "number_with_unit": ('{"value": 6.4, "unit": "cm"}', {}, "64 mm"),
    "format": ("anything", {}, "anything"),
}


@pytest.mark.parametrize("name", sorted(path.stem for path in (SHIPPED / "rewards").glob("*.py")))
def test_doctests(name):
    plugin = load_plugin(f"rewards/{name}.py", NAMES)
    finder = doctest.DocTestFinder()
    found = finder.find(plugin.target, name, globs=dict(plugin.target.__globals__))
    assert sum(len(test.examples) for test in found) >= 2
    runner = doctest.DocTestRunner()
    for test in found:
        runner.run(test)
    assert runner.failures == 0


@pytest.mark.parametrize("name", ROWS)
def test_a_reward_takes_what_verl_passes(name):
    parameters = inspect.signature(load_plugin(f"rewards/{name}.py", "compute_score").target).parameters
    assert tuple(parameters)[:4] == ARGUMENTS
    assert parameters["extra_info"].default is None


@pytest.mark.parametrize("name", ROWS)
def test_the_right_reply_scores_one_and_silence_scores_nothing(name):
    ground_truth, extra_info, answer = ROWS[name]
    compute_score = load_plugin(f"rewards/{name}.py", "compute_score").target

    def graded(reply: str) -> dict[str, float]:
        return compute_score("test", reply, ground_truth, extra_info)

    right = {"score": 1.0, "answered": 1.0}
    assert graded(f"<think>I look.</think><answer>{answer}</answer>").items() >= right.items()
    for silence in ("", "<think>I look.</think>", "<think>I look.</think><answer> </answer>"):
        assert graded(silence).items() >= {"score": 0.0, "answered": 0.0}.items()
