"""`medrl reward check` finds what is wrong with a reward file, in a process that a bad one cannot take down."""

import pytest

from medrl.errors import MedrlError
from medrl.scoring.trial.caged import Cage
from medrl.scoring.trial.check_reward import check_reward, prepared
from medrl.scoring.trial.examples import FORMS, example_of, fitting, honest_answers

HEAD = "import re, time, os, random\nEXAMPLE = {'ground_truth': '3', 'extra_info': {'kind': 'count'}, 'right': '3', 'wrong': '4'}\n"
DEF = "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n    "
GOOD = "return {'score': float(solution_str == ground_truth), 'digits': sum(map(str.isdigit, solution_str[:99]))}"
# a body of compute_score, the check that must fail, and what it must say
FAULTY = {
    "random": ("return random.random() + 9 * (solution_str == ground_truth)", "deterministic", "the second time"),
    "hash seed": ("return hash('salt') % 997 + (solution_str == ground_truth)", "deterministic", "in a fresh process"),
    "writes": ("extra_info['seen'] = 1; return float(solution_str == ground_truth)", "leaves extra_info alone", "changed"),
    "upside down": ("return float(solution_str != ground_truth)", "right above wrong", "right 0, wrong 1"),
    "NaN": ("return float('nan') if not solution_str else 0.0", "scores every reply", "finite numbers"),
    "unicode": ("solution_str.encode('ascii'); return 0.0", "scores every reply", "UnicodeEncodeError"),
    "not picklable": ("return {'score': 1.0, 'why': lambda: 1}", "right above wrong", "pickle"),
    "hangs": ("time.sleep(60 * (len(solution_str) > 100000)); return 0.0", "scores every reply", "no answer within 0.5 s"),
    "dies": ("os._exit(7) if not solution_str else 0; return 0.0", "scores every reply", "exit code 7"),
    "quadratic": ("time.sleep(0.2 * (len(solution_str) > 100000)); return 0.0", "long replies", "worse than linear"),
}  # fmt: skip


def written(folder, body, head=HEAD):
    path = folder / "mine.py"
    path.write_text(head + DEF + body + "\n")
    return str(path)


def faults_of(path, **options):
    return {check.name: check.told for check in check_reward(path, **options).faults}


def test_a_sound_file_has_no_faults_and_says_what_it_is(tmp_path, capfd):
    checked = check_reward(written(tmp_path, "print('hello'); " + GOOD))
    assert [check for check in checked.checks if check.ok is not True] == []
    told = {check.name: check.told for check in checked.checks}
    assert checked.kinds == ("count",) and "scores one reply" in told["signature"]
    assert told["right above wrong"] == "count: right 1, wrong 0"
    assert "0 to 1" in told["range"] and "digits" in told["range"] and "µs" in told["speed"]
    assert capfd.readouterr().out == ""  # what the file prints does not end up in the result


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("hash seed", "writes", "hangs", "dies") else pytest.mark.cluster)
        for name in FAULTY
    ],
)
def test_each_fault_is_found(name, tmp_path, monkeypatch):
    monkeypatch.setattr("medrl.scoring.trial.check_reward.TIMED_CALLS", 3)
    monkeypatch.setattr("medrl.scoring.trial.check_reward.FLOODS", ("word ",))
    body, check, told = FAULTY[name]
    faults = faults_of(written(tmp_path, body), timeout_s=0.5 if name == "hangs" else 5.0)
    assert told in faults[check], faults


def test_an_asynchronous_reward_of_a_group_is_sound(tmp_path):
    (tmp_path / "mine.py").write_text(
        HEAD
        + "async def compute_group_scores(group):\n"
        + "    return [float(one['solution_str'] == one['ground_truth']) for one in group]\n"
    )
    checked = check_reward(str(tmp_path / "mine.py"))
    assert checked.faults == [] and "asynchronous, scores a group" in checked.checks[0].told


def test_a_keyword_it_does_not_take_is_a_fault_of_the_signature(tmp_path):
    assert (
        "unexpected keyword argument 'tolerance'"
        in faults_of(written(tmp_path, GOOD), kwargs={"tolerance": 1})["signature"]
    )


def test_the_keywords_of_the_example_are_given(tmp_path):
    head = HEAD.replace("'wrong': '4'}", "'wrong': '4', 'kwargs': {'needed': 2}}")
    path = written(tmp_path, "return needed * float(solution_str == ground_truth)", head=head)
    (tmp_path / "mine.py").write_text(
        (tmp_path / "mine.py").read_text().replace("extra_info=None", "extra_info=None, *, needed")
    )
    with Cage(path) as cage:
        assert cage.facts.misfit
        cage, examples, _ = prepared(cage, None)
        assert [outcome.score for outcome in cage([examples[0].call("3")])] == [2.0]


def test_without_an_example_the_rows_it_understands_are_found(tmp_path):
    body = "return float(re.findall(r'boxed{(.*)}', solution_str) == [ground_truth])"
    checked = check_reward(written(tmp_path, body, head="import re\n"))
    assert checked.kinds == ("choice", "yes_no", "count", "box", "boxes", "points")
    assert "no EXAMPLE in the file" in next(check.told for check in checked.checks if check.name == "example")
    assert (
        "no EXAMPLE in the file, and no built-in row" in faults_of(written(tmp_path, "return 0.0", head=""))["example"]
    )


@pytest.mark.parametrize(
    ("example", "told"),
    [("5", "it is no dict"), ("{'ground_truth': 1, 'right': 2, 'wrong': ''}", "no 'extra_info', 'right' is a int")],
)
def test_an_example_of_no_use_is_the_users_mistake(example, told, tmp_path):
    with pytest.raises(MedrlError, match=told):
        check_reward(written(tmp_path, GOOD, head=f"EXAMPLE = {example}\n"))


def test_a_file_that_dies_or_fails_on_import_is_told_in_one_paragraph(tmp_path):
    with pytest.raises(MedrlError, match=r"died while it was imported \(exit code 3\)"):
        Cage(written(tmp_path, GOOD, head="import os; os._exit(3)\n"))
    with pytest.raises(MedrlError, match="does not import"):
        Cage(written(tmp_path, GOOD, head="import no_such_thing\n"))


def test_after_two_hangs_the_rest_is_not_tried(tmp_path):
    with Cage(written(tmp_path, "time.sleep(60); return 0.0"), timeout_s=0.2) as cage:
        call = example_of(cage.facts.example, "").call("3")
        reasons = [outcome.reason for outcome in cage([call] * 5)]
    assert reasons == ["no answer within 0.2 s"] * 2 + ["not tried: 2 replies before it ran out of time"] * 3


@pytest.mark.parametrize(
    ("kind", "truth", "extra", "answers"),
    [
        ("choice", "CT", {"options": '{"A": "CT", "B": "MRI", "C": null}'}, ("A", "B")),
        ("multi_choice", "A,C", {"options": {"A": "x", "B": "y", "C": "z"}}, ("A, C", "B")),
        ("number_with_unit", {"value": 2, "unit": "mm"}, {}, ("2 mm", "7 mm")),
        ("box", "[0, 0, 10, 10]", {"image_size": [100, 80]}, ("[0, 0, 10, 10]", "[75, 60, 100, 80]")),
        ("points", "[]", {"image_size": [100, 80]}, ("[]", "[[50, 40]]")),
        ("report", "no effusion", {}, None),
    ],
)
def test_honest_answers(kind, truth, extra, answers):
    assert honest_answers(kind, truth, extra) == answers


def test_the_form_is_the_first_in_which_right_is_told_from_wrong():
    def boxed(calls):
        from medrl.scoring.trial.caged import here

        return here(
            lambda data_source, solution_str, ground_truth, extra_info: float(f"{{{ground_truth}}}" in solution_str)
        )(calls)

    assert {example.right for example in fitting(boxed, False) if example.kind == "count"} == {FORMS[2] % "5"}
