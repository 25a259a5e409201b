"""The samples a step trains on: the band, an order that survives, stages, and failed samples asked again, at most so many."""

import json
from collections import Counter
from types import SimpleNamespace

import pytest
from makers import RECIPE, rollout
from makers import recipe as make_recipe

from medrl.data.sample import make_sample
from medrl.errors import MedrlError
from medrl.learning.batches import batch_indices
from medrl.learning.course import Course
from medrl.learning.stages import stage_faults, told_of
from medrl.recipe import recipe_from

SIZE = 4


def samples(n, kind="count", source="t"):
    return [
        make_sample(
            id=f"{kind}/{number}", data_source=source, question="How many?", images=[], ground_truth="1", kind=kind,
            split="train", modality="CT" if number % 2 else "MRI",
        )
        for number in range(n)
    ]  # fmt: skip


def rates_of(data):
    """Pass rates out of order, each of them twice: ties must stay in data order."""
    return {sample.id: (number * 7 % len(data)) // 2 * 2 / len(data) for number, sample in enumerate(data)}


def recipe(shuffle=True, steps=40, size=SIZE, seed=0, slice_by=None, **curriculum):
    given = (
        {"pass_rates": "unread.jsonl", **curriculum}
        if {"order", "min_pass_rate", "max_pass_rate"} & {*curriculum}
        else curriculum
    )
    return make_recipe(
        "unused", data={"shuffle": shuffle, "slice_by": slice_by}, curriculum=given,
        training={"steps": steps, "prompts_per_step": size}, seed=seed,
    )  # fmt: skip


def ids(batch):
    return [sample.id for sample in batch]


def answered(batch, accuracy):
    """Two scored rollouts of each sample; `accuracy`: sample id to mean accuracy, 1 if not named."""
    made = []
    for sample in batch:
        prompt, mean = SimpleNamespace(sample=sample), accuracy.get(sample.id, 1.0)
        for value in (mean, mean):
            made.append(rollout(prompt, [1], scores={} if value is None else {"answer/score": value}))
    return made


@pytest.mark.parametrize("shuffle", [True, False])
def test_without_a_curriculum_nothing_is_different(shuffle):
    data, settings = samples(10), recipe(shuffle)
    course = Course(settings, data)
    for step in range(6):
        assert ids(course.batch(step)) == [f"count/{i}" for i in batch_indices(10, step, SIZE, 0, shuffle)]
        assert course.observe(step, answered(course.batch(step), {"count/1": 0.0})) == {} and course.state == {}


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("order", ["easy_to_hard", "hard_to_easy"])
def test_batches_really_come_in_order_whatever_the_shuffle(order, shuffle):
    data = samples(18)
    rates = rates_of(data)
    course = Course(recipe(shuffle, order=order), data, rates)
    left_out = Counter()
    for number in range(8):  # passes of four steps, two samples left out of each
        seen = [sample for step in range(4 * number, 4 * number + 4) for sample in course.batch(step)]
        values = [rates[sample.id] for sample in seen]
        assert values == sorted(values, reverse=order == "easy_to_hard") and len({*ids(seen)}) == 16
        places = [data.index(sample) for sample in seen]
        assert all(a < b for a, b, x, y in zip(places, places[1:], values, values[1:]) if x == y)  # ties: data order
        left_out.update({*ids(data)} - {*ids(seen)})
    assert len(left_out) > 6  # never always the same: the hardest would not be trained on


def test_only_the_band_is_trained_on_and_the_rest_is_counted():
    data = samples(20)
    rates = {sample.id: number / 20 for number, sample in enumerate(data)} | {"count/10": None}
    settings = recipe(min_pass_rate=0.25, max_pass_rate=0.75)
    course = Course(settings, data, rates)
    inside = {f"count/{number}" for number in range(5, 16)} - {"count/10"}  # both ends included
    assert {identity for step in range(20) for identity in ids(course.batch(step))} == inside
    assert {*ids(course.more(0, 0, 99, course.batch(0)))} == inside - {*ids(course.batch(0))}
    assert told_of(settings, data, rates) == [
        "curriculum: 10 of 20 training samples with a pass rate from 0.25 to 0.75; left out: 5 right too rarely; "
        "4 right too often; 1 without a rate, since none could be graded"
    ]
    metrics = course.observe(0, answered(course.batch(0), {}))
    assert metrics == {"data/pass_rate_mean": pytest.approx(sum(rates[i] for i in ids(course.batch(0))) / SIZE)}
    narrow = recipe(min_pass_rate=0.9)
    assert "2 of 20 samples are left with a pass rate from 0.9 to 1, fewer than" in stage_faults(narrow, data, rates)[0]


def test_more_of_an_ordered_course_are_as_hard_as_those_they_replace():
    data = samples(40)
    rates = {sample.id: number / 40 for number, sample in enumerate(data)}
    course = Course(recipe(order="easy_to_hard"), data, rates)
    used = course.batch(5)
    near = course.more(5, 0, 4, used)
    assert not {*ids(near)} & {*ids(used)}
    furthest = max(abs(rates[a.id] - rates[b.id]) for a in near for b in used)
    assert furthest <= 0.2 and ids(near) == ids(course.more(5, 0, 4, used))


def test_closed_questions_first_then_open_ones():
    data = samples(9, "open") + samples(9, "choice")
    rates = rates_of(data)
    given = [{"kinds": ["choice"], "steps": 3}, {"kinds": "open"}]
    settings = recipe(steps=8, stages=given, order="easy_to_hard")
    course = Course(settings, data, rates)
    for step in range(8):
        batch = course.batch(step)
        assert {sample.kind for sample in batch} == ({"choice"} if step < 3 else {"open"})
        assert {sample.kind for sample in course.more(step, 0, 99, batch)} <= {batch[0].kind}
        values = [rates[sample.id] for sample in batch]
        assert values == sorted(values, reverse=True)  # each stage has its own order
        assert course.observe(step, answered(batch, {}))["data/stage"] == (1 if step < 3 else 2)
    assert told_of(settings, data, rates)[1:] == [
        "curriculum: stage 1 is steps 1 to 3, 9 samples: kinds choice",
        "curriculum: stage 2 is steps 4 to 8, 9 samples: kinds open",
    ]


def test_stages_by_source_and_by_slice():
    data = samples(8, source="vqa_rad") + samples(8, "open", source="slake")
    stages = [{"data_source": "slake", "steps": 2}, {"slices": ["CT"], "steps": 38}]
    course = Course(recipe(stages=stages, slice_by="modality"), data)
    assert {sample.data_source for step in (0, 1) for sample in course.batch(step)} == {"slake"}
    later = [sample for step in range(2, 12) for sample in course.batch(step)]
    assert {sample.extra_info["modality"] for sample in later} == {"CT"}
    assert {sample.data_source for sample in later} == {"slake", "vqa_rad"}


def test_what_the_data_do_not_have_is_named():
    data = samples(3, "choice") + samples(8, "open")
    faults = stage_faults(recipe(stages=[{"kinds": ["closed"], "steps": 2}, {"data_source": "x"}]), data)
    assert "curriculum.stages[0].kinds: no training sample is of closed; they are of choice, open" in faults
    assert "curriculum.stages[1].data_source: no training sample is of x; they are of t" in faults
    (few,) = stage_faults(recipe(stages=[{"kinds": ["choice"], "steps": 2}, {"kinds": ["open"]}]), data)
    assert (
        "curriculum.stages[0] (kinds choice): 3 of 11 samples are left, fewer than training.prompts_per_step=4" in few
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"order": "easy_to_hard"}, "curriculum.order=easy_to_hard: no pass rate is known; make a file with"),
        ({"min_pass_rate": 0.1}, "curriculum.min_pass_rate=0.1, curriculum.max_pass_rate=1.0: no pass rate is known"),
        ({"pass_rates": "x", "min_pass_rate": 0.6, "max_pass_rate": 0.5}, "expected 0 <= min <= max <= 1"),
        ({"replay_share": 0.31}, "OphVLM-R1's cap"),
        ({"replay_share": 0.2}, "of training.prompts_per_step=4 is less than one prompt"),
        ({"replay_window": 0}, "curriculum.replay_window=0: expected at least 1"),
        ({"replay_below": 0.0}, "curriculum.replay_below=0.0: expected an accuracy above 0"),
        ({"order": "random"}, "expected one of easy_to_hard, hard_to_easy"),
        ({"stages": [{"kind": ["choice"]}]}, "curriculum.stages[0].kind: no such key; expected kinds, data_source"),
        ({"stages": [{"kinds": []}]}, "curriculum.stages[0].kinds=[]: expected a name or a list of names"),
        ({"stages": [{"slices": ["CT"]}]}, "slices of what? Set data.slice_by"),
        ({"stages": [{"kinds": "a"}, {"kinds": "b"}]}, "curriculum.stages[0]: no steps; only the last"),
        ({"stages": [{"steps": True}]}, "curriculum.stages[0].steps=True: expected a whole number"),
        ({"stages": [{"steps": 1}, {"steps": 2}]}, "their steps are 3 together, but training.steps=4"),
        ({"stages": [{"steps": 4}, {"kinds": "b"}]}, "take 4 steps of training.steps=4; none are left"),
    ],
)
def test_a_contradiction_is_told_before_anything_loads(change, told):
    with pytest.raises(MedrlError) as caught:
        recipe_from({**RECIPE, "curriculum": change}, "some.yaml", "some")
    assert told in str(caught.value)


def replaying(**changes):
    return recipe(**{"size": 10, "replay_share": 0.3, "replay_window": 2, "steps": 60, **changes})


def test_failed_samples_are_asked_again_within_the_window_and_never_beyond_the_cap():
    data, settings = samples(50), replaying()
    course, plain = Course(settings, data), Course(recipe(size=10), data)
    failing = {f"count/{number}": 0.4 for number in range(0, 50, 2)}
    failed_at, replays, given_up = {}, 0, set()
    for step in range(40):
        batch, next_ones = ids(course.batch(step)), ids(plain.batch(step))
        again = [identity for identity in batch if identity not in next_ones]
        rest = [identity for identity in next_ones if identity in batch]
        assert batch == [*rest, *again] and len(again) <= 3  # the others are those that were next, in their order
        given_up |= {next_ones.index(identity) for identity in set(next_ones) - set(batch)}
        assert len({*batch}) == 10
        assert all(1 <= step - failed_at[identity] <= 2 for identity in again)
        assert course.observe(step, answered(course.batch(step), failing))["data/replayed"] == len(again)
        failed_at |= {identity: step for identity in batch if identity in failing}
        replays += len(again)
        assert len(course.state["failed"]) <= 2 * 10  # bounded by the window
    assert len(given_up) == 10  # no place is given up always, which would starve the same samples in every pass
    assert replays > 90  # half of all fail, so nearly every step could use all of its places


def test_a_new_result_replaces_the_old_and_a_missing_one_changes_nothing():
    course = Course(replaying(replay_window=5), samples(50))
    batch = course.batch(0)
    one, two = batch[0], batch[1]
    course.observe(0, answered(batch, {one.id: 0.0, two.id: 0.25}))
    assert course.state == {"failed": {one.id: [0, 0.0], two.id: [0, 0.25]}}
    course.observe(1, answered([one, two], {one.id: 0.5, two.id: None}))  # 0.5 is not below replay_below
    assert course.state == {"failed": {two.id: [0, 0.25]}}
    course.observe(2, answered([two], {two.id: 0.0}))
    assert course.state == {"failed": {two.id: [2, 0.0]}}
    course.observe(6, answered(batch[2:], {}))
    assert course.state == {"failed": {two.id: [2, 0.0]}}
    course.observe(7, answered(batch[2:], {}))
    assert course.state == {"failed": {}}  # step 2 is no more among the last five before step 8


def test_replays_are_of_the_stage_that_is_on():
    data = samples(30, "choice") + samples(30, "open")
    course = Course(replaying(stages=[{"kinds": "choice", "steps": 2}, {"kinds": "open"}]), data)
    failing = {sample.id: 0.0 for sample in data}
    for step in range(6):
        assert {sample.kind for sample in course.batch(step)} == {"choice" if step < 2 else "open"}
        course.observe(step, answered(course.batch(step), failing))
    assert course.observe(6, answered(course.batch(6), failing))["data/replayed"] == 3


@pytest.mark.parametrize("share", [0.29, 0.3])
def test_the_cap_is_not_lost_to_rounding(share):
    course = Course(replaying(size=100, replay_share=share), samples(300))
    failing = {f"count/{number}": 0.0 for number in range(300)}
    course.observe(0, answered(course.batch(0), failing))
    assert len({*ids(course.batch(1))} & course.state["failed"].keys()) == round(100 * share)


def test_a_course_resumed_from_json_goes_on_as_the_unbroken_one():
    data, settings = samples(40), replaying()
    failing = {f"count/{number}": 0.1 * (number % 7) for number in range(40)}
    whole = Course(settings, data)
    for step in range(12):
        resumed = Course(settings, data)
        resumed.state = json.loads(json.dumps(whole.state))
        assert ids(whole.batch(step)) == ids(resumed.batch(step))
        for course in (whole, resumed):
            course.observe(step, answered(course.batch(step), failing))
        assert whole.state == resumed.state
    other = Course(replaying(seed=1), data)
    other.state = whole.state
    assert ids(other.batch(12)) != ids(whole.batch(12))
