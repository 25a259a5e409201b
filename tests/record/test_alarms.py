"""From a journal in any state to the alarms it tells of."""

import pytest

from medrl.record.alarms import raised_alarms


def entry(step, raised=(), cleared=()):
    alarms = [{"name": name, "value": 1.0, "limit": 0.9, "text": f"{name} at {step}"} for name in raised]
    told = {"alarms": alarms} if alarms else {}
    return {"stage": "grpo", "step": step, **told, **({"alarms_cleared": list(cleared)} if cleared else {})}


def spans(entries):
    return [(one.name, one.first_step, one.last_step, one.standing) for one in raised_alarms(entries)]


def test_each_lasts_from_the_step_that_raised_it_to_the_last_it_stood_at():
    entries = [entry(1), entry(2, ["a"]), entry(3, ["b"]), entry(4, cleared=["a"]), entry(5, ["a"]), entry(6)]
    assert spans(entries) == [("a", 2, 3, False), ("b", 3, 6, True), ("a", 5, 6, True)]
    assert spans(reversed(entries)) == spans(entries)
    assert raised_alarms(entries)[2].text == "a at 5"


def test_a_step_written_twice_counts_as_it_was_written_last():
    assert spans([entry(1), entry(2, ["a"]), entry(2), entry(3)]) == []


def test_an_alarm_told_again_while_it_is_up_is_the_same_alarm():
    assert spans([entry(1, ["a", "a"]), entry(2, ["a"]), entry(3, cleared=["a"])]) == [("a", 1, 2, False)]


def test_the_cold_start_has_no_alarms():
    assert spans([{**entry(1, ["a"]), "stage": "sft"}]) == []


@pytest.mark.parametrize("value", [None, 7, "zero_spread", [None], [[]], ["x"], {"name": "a"}, [{"name": "a"}], [{"name": 1}],
                                   [{"name": "a", "value": "1", "limit": 0.9, "text": "t"}],
                                   [{"name": "a", "value": 10**400, "limit": 0.9, "text": "t"}],
                                   [{"name": "a", "value": 1.0, "limit": 0.9, "text": None}]])  # fmt: skip
def test_what_has_not_the_shape_of_an_alarm_is_passed_over(value):
    assert spans([entry(1, ["b"]), {"step": 2, "alarms": value}, {"step": 3, "alarms_cleared": value}]) == [
        ("b", 1, 3, True)
    ]
    assert spans([{**entry(1, ["b"]), "step": value}]) == ([("b", 7, 7, True)] if value == 7 else [])
