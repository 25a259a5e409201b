"""Plug-ins by file and by module: what is loaded, and what an unknown name is told."""

import sys

import pytest

from medrl.errors import MedrlError
from medrl.plugin import SHIPPED, check_call, load_plugin
from medrl.recipe import Reward
from medrl.scoring.loaded import load_rewards

SCORE = "def {name}(data_source, solution_str, ground_truth, extra_info=None, *, bonus=0.5):\n    return bonus\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package on Python's path, with a module of rewards."""
    folder = tmp_path / "lab_for_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "graders.py").write_text(SCORE.format(name="compute_score") + SCORE.format(name="other"))
    (folder / "broken.py").write_text("import nothing_of_the_kind\n")
    (tmp_path / "a_folder_for_tests").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.startswith("lab_for_tests")]:
        del sys.modules[name]


@pytest.mark.parametrize("reference, name", [("", "compute_score"), (":other", "other"), (":compute_score",) * 2])
def test_a_module_is_named_as_python_names_it(package, reference, name):
    plugin = load_plugin(f"lab_for_tests.graders{reference}", "compute_score")
    assert plugin.target.__module__ == "lab_for_tests.graders" and plugin.target.__name__ == name.strip(":")
    assert plugin.path == package / "graders.py" and len(plugin.sha256) == 64
    [loaded] = load_rewards({"mine": Reward(f"lab_for_tests.graders{reference}", kwargs={"bonus": 2.0})})
    assert loaded.plugin.target("x", "", "", **loaded.kwargs) == 2.0


@pytest.mark.parametrize(
    "reference, told",
    [
        ("lab_for_tests.grader:other", "Python finds no module lab_for_tests.grader. Install its package, put its folder on"),
        ("lab_of_nobody.graders", "Python finds no module lab_of_nobody"),
        ("lab_for_tests.graders:othr", "has no `othr`. It offers: compute_score, other"),
        ("lab_for_tests.broken", "lab_for_tests.broken does not import. Its traceback"),
        ("a_folder_for_tests", "is a folder without a file of its own"),
        ("choise", "Did you mean rewards/choice.py? Known: envs/"),
        ("rewards/choise.py", "Did you mean rewards/choice.py? Known: rewards/abstention.py, rewards/adaptive_tool.py, "),
        ("zoom.py:ZoomEnv", "Did you mean envs/zoom.py?"),
        ("nowhere/choice.py", "nowhere/choice.py: no such file. Looked at"),
        ("no-file", "no-file: no such file. Looked at"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told_with_what_is(package, reference, told):
    with pytest.raises(MedrlError) as caught:
        load_plugin(reference, "compute_score")
    assert told in str(caught.value)


def test_a_file_beside_a_module_of_its_name_is_the_file(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text(SCORE.format(name="compute_score"))
    monkeypatch.chdir(tmp_path)
    assert load_plugin("json.py", "compute_score").path == tmp_path / "json.py"
    assert load_plugin("rewards/choice.py", "compute_score").path == (SHIPPED / "rewards" / "choice.py").resolve()


@pytest.mark.parametrize(
    "kwargs, told",
    [
        ({"bonnus": 1}, "unexpected keyword argument 'bonnus'. `kwargs:` may name bonus. Mend"),
        ({"ground_truth": "B"}, "`kwargs:` has ground_truth, which every call brings by itself"),
    ],
)
def test_an_unknown_kwarg_is_told_with_the_known_ones(package, kwargs, told):
    with pytest.raises(MedrlError) as caught:
        load_rewards({"mine": Reward("lab_for_tests.graders", kwargs=kwargs)})
    assert told in str(caught.value) and "rewards.mine: " in str(caught.value)


def test_positional_arguments_are_not_offered_as_kwargs(package):
    (package / "among.py").write_text("def compute_group_scores(attempts, rate=1):\n    return []\n")
    with pytest.raises(MedrlError, match=r"`kwargs:` may name rate\."):
        load_rewards({"mine": Reward("lab_for_tests.among", kwargs={"rte": 1})})
    plugin = load_plugin("lab_for_tests.graders", "compute_score")
    with pytest.raises(MedrlError, match=r"`kwargs:` may name extra_info, bonus\."):
        check_call(plugin, ("a", "b", "c"), {"rte": 1})


def test_a_file_changed_within_a_second_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "grader.py"
    for value in (1, 2, 3):  # one length, and most likely one second
        path.write_text(f"def compute_score(*_):\n    return {value}\n")
        assert load_plugin(str(path), "compute_score").target() == value
    assert not (tmp_path / "__pycache__").exists(), "nothing is written beside a user's file"
