"""Questions whose attempts are all equally right are left out and others asked: which, how often, and what is trained on."""

import json
import os
from itertools import chain
from multiprocessing import get_context

import pytest
import torch
from makers import builder, recipe, rollout, samples, tiny
from test_step import gradient

from medrl.errors import MedrlError
from medrl.learning.course import Course
from medrl.learning.estimator import load_estimator
from medrl.learning.filtering import gather, teaches, warnings_of
from medrl.learning.step import give_advantages
from medrl.learning.update import update
from medrl.rollout.types import Rollout

SOME, ALL, NONE = (1.0, 0.0), (1.0, 1.0), (0.0, 0.0)  # accuracies of the attempts at a question
LOST, UNSCORED = (), (None, None)


@pytest.fixture(scope="module")
def loaded():
    return tiny()


@pytest.fixture(scope="module")
def asked_of(loaded):
    """(sample, accuracies) -> the scored attempts at it. Every other attempt has the right format."""
    making = builder(loaded)

    def made(sample, accuracies) -> list[Rollout]:
        prompt, group = making.build(sample), []
        for number, accuracy in enumerate(accuracies):
            one = rollout(prompt, making.encode_reply(f"<answer>{sample.id}{number}</answer>"), None)
            one.attempt = number
            if accuracy is None:
                one.missing = {"answer": "away"}
            else:
                one.scores = {"answer/score": accuracy, "format/score": number % 2}
                one.reward = accuracy + 0.1 * (number % 2)
            group.append(one)
        return group

    return made


def settings(tmp_path, refills=2, size=4, n=24, **more):
    algorithm = {"filter_groups": True, "max_refills": refills, "group_size": 2, "advantage": "dr_grpo"}
    sections = {"algorithm": {**algorithm, **more.pop("algorithm", {})}, "data": {"train_options": {"n": n}}}
    return recipe(tmp_path, training={"prompts_per_step": size}, **sections, **more)


class Answering:
    """Answers as the table says, by how manieth question it is; remembers what it was asked, ask by ask."""

    def __init__(self, asked_of, table, then=SOME) -> None:
        self.asked_of, self.table, self.then, self.asks = asked_of, list(table), then, []

    def __call__(self, asked) -> list[Rollout]:
        self.asks.append([sample.id for sample in asked])
        outcomes = [self.table.pop(0) if self.table else self.then for _ in asked]
        return [one for sample, outcome in zip(asked, outcomes) for one in self.asked_of(sample, outcome)]


def run(given, asked_of, table, then=SOME, step=0):
    course = Course(given, samples(given.data.train_options["n"]))
    answering = Answering(asked_of, table, then)
    return gather(given, step, course, answering, load_estimator(given.algorithm)), answering.asks


def all_of(asks) -> list[str]:
    return list(chain.from_iterable(asks))


def ids(rollouts) -> list[str]:
    return list(dict.fromkeys(one.prompt.sample.id for one in rollouts))


@pytest.mark.parametrize(
    ("accuracies", "kept"),
    [
        (SOME, True),
        (ALL, False),  # the formats differ, and so do the sums
        (NONE, False),
        ((0.25, 0.25, 0.5), True),
        ((1.0, None, 0.0), True),
        ((1.0, None, 1.0), False),
        ((1.0, None), False),  # one alone is compared with nothing
        (UNSCORED, False),
        (LOST, False),
    ],
)
def test_a_group_teaches_when_accuracy_differs_among_its_scored_attempts(asked_of, accuracies, kept):
    group = asked_of(samples(1)[0], accuracies)
    assert teaches(group, "answer") is kept


def test_a_question_that_the_accuracy_reward_does_not_score_is_kept(asked_of):
    group = asked_of(samples(1)[0], ALL)
    assert teaches(group, "box") and not teaches(group[:1], "box")


def test_others_are_asked_in_place_and_come_after_in_the_order_they_were_asked(tmp_path, asked_of):
    found, asks = run(settings(tmp_path), asked_of, [SOME, ALL, SOME, NONE, NONE, SOME, SOME])
    assert [len(ask) for ask in asks] == [4, 2, 1]
    (first, second, third, fourth), (fifth, sixth), (seventh,) = asks
    assert ids(found.batch) == [first, third, sixth, seventh] and ids(found.aside) == [second, fourth, fifth]
    assert len(set(all_of(asks))) == 7, "nothing is asked twice"
    assert not any(one.filtered for one in found.batch) and all(one.filtered for one in found.aside)
    assert found.metrics == {
        "group/asked": 7, "group/kept": 4, "group/filtered": 3 / 7, "group/refills": 2, "group/cap_reached": 0,
        "group/zero_spread": 0,
    }  # fmt: skip


@pytest.mark.parametrize("refills", [0, 1, 3])
def test_it_never_hangs_where_every_group_is_equal_for_ever(tmp_path, asked_of, refills):
    found, asks = run(settings(tmp_path, refills), asked_of, [], then=ALL)
    assert [len(ask) for ask in asks] == [4] * (1 + refills)
    assert ids(found.batch) == asks[0] and ids(found.aside) == all_of(asks[1:])
    assert found.metrics["group/refills"] == refills and found.metrics["group/cap_reached"] == 1
    assert found.metrics["group/kept"] == 0 and found.metrics["group/filtered"] == 1


def test_the_places_left_are_filled_with_groups_that_are_not_trained_on(tmp_path, asked_of):
    given = settings(tmp_path, refills=1)
    found, asks = run(given, asked_of, [NONE, SOME, ALL, SOME, NONE, NONE])
    assert ids(found.batch) == [asks[0][1], asks[0][3], asks[0][0], asks[0][2]] and ids(found.aside) == asks[1]
    metrics = give_advantages(given, found.rollouts, 0)
    assert [one.advantage for one in found.batch] == pytest.approx([0.45, -0.45] * 2 + [None] * 4)
    assert all(one.advantage is None for one in found.aside)
    # of all that were asked: the policy's own accuracy, not that of the questions the filter likes
    assert metrics["reward/answer/score"] == pytest.approx(4 / 12) and metrics["reward/missing"] == 0


def test_data_smaller_than_the_refills_ends_them(tmp_path, asked_of):
    found, asks = run(settings(tmp_path, refills=5, n=7), asked_of, [], then=NONE)
    assert [len(ask) for ask in asks] == [4, 3] and len(set(all_of(asks))) == 7
    assert found.metrics["group/cap_reached"] == 1 and len(found.batch) == 8


def test_a_sample_that_the_data_hold_twice_is_asked_once_in_a_step(tmp_path, asked_of):
    """Its attempts would be the same to the token: random numbers come from seed, step and the sample's id."""
    given = settings(tmp_path, refills=5, size=2)
    course = Course(given, [sample for _ in range(4) for sample in samples(3)])
    answering = Answering(asked_of, [], NONE)
    gather(given, 0, course, answering, load_estimator(given.algorithm))
    assert all(len(set(ask)) == len(ask) for ask in answering.asks[1:]) and len(set(all_of(answering.asks))) == 3
    assert not set(answering.asks[0]) & set(all_of(answering.asks[1:]))


def test_a_lost_sample_is_replaced_too(tmp_path, asked_of):
    found, asks = run(settings(tmp_path), asked_of, [LOST, SOME, SOME, SOME, LOST, SOME])
    assert [len(ask) for ask in asks] == [4, 1, 1] and ids(found.batch) == [*asks[0][1:], *asks[2]]
    assert found.metrics["group/asked"] == 4 and found.metrics["group/filtered"] == 0


def test_without_the_filter_nothing_is_asked_again_or_told(tmp_path, asked_of):
    given = settings(tmp_path, algorithm={"filter_groups": False})
    found, asks = run(given, asked_of, [ALL, NONE, SOME, ALL])
    assert len(asks) == 1 and not found.aside and not found.metrics and not any(one.filtered for one in found.batch)


def test_too_many_rollouts_without_a_score_stop_the_run_before_others_are_asked(tmp_path, asked_of):
    given = settings(tmp_path, scoring={"max_missing": 0.4})
    answering = Answering(asked_of, [SOME, UNSCORED, UNSCORED, SOME])
    with pytest.raises(MedrlError, match="50% of the rollouts have no score"):
        gather(given, 0, Course(given, samples(24)), answering, load_estimator(given.algorithm))
    assert len(answering.asks) == 1
    refilled = Answering(asked_of, [SOME, UNSCORED, SOME, NONE, UNSCORED, UNSCORED])  # 2 of 8, then 6 of 12
    with pytest.raises(MedrlError, match="50% of the rollouts have no score"):
        gather(given, 0, Course(given, samples(24)), refilled, load_estimator(given.algorithm))
    assert len(refilled.asks) == 2
    fewer, _ = run(settings(tmp_path, scoring={"max_missing": 0.5}), asked_of, [SOME, UNSCORED, SOME, NONE, UNSCORED])
    assert len(ids(fewer.batch)) == 4  # what has no score is left out like any other group that cannot teach


def test_zero_spread_stays_that_of_the_first_samples(tmp_path, asked_of):
    even = settings(tmp_path, algorithm={"advantage": "grpo"}, rewards={"answer": {"use": "rewards/count.py"}})

    def without_format(sample, accuracies):
        group = asked_of(sample, accuracies)
        for one in group:
            one.reward = one.scores["answer/score"]
        return group

    found, asks = run(even, without_format, [ALL, NONE, SOME, ALL, SOME, SOME, NONE])
    metrics = {**give_advantages(even, found.rollouts, 0), **found.metrics}
    assert len(asks) == 3 and metrics["group/zero_spread"] == 0.75


def test_the_estimator_sees_the_kept_groups_alone(tmp_path, asked_of):
    own = tmp_path / "own.py"
    own.write_text(
        "from medrl.learning.estimator import Estimate\n\n\n"
        "def compute_advantages(rewards, groups):\n"
        "    return Estimate(rewards - rewards.mean(), metrics={'seen': len(rewards), 'mean': float(rewards.mean())})\n"
    )
    given = settings(tmp_path, refills=0, algorithm={"advantage": str(own)})
    found, _ = run(given, asked_of, [ALL, SOME, NONE, SOME])
    metrics = give_advantages(given, found.rollouts, 0)
    assert metrics["advantage/seen"] == 4 and metrics["advantage/mean"] == pytest.approx(0.55)


@pytest.mark.parametrize("mode", ["seq-mean-token-mean", "seq-mean-token-sum-norm", "token-mean"])
def test_left_out_groups_count_in_the_loss_as_masked_ones_do(tmp_path, loaded, asked_of, mode):
    given = settings(tmp_path, refills=1)
    found, _ = run(given, asked_of, [NONE, SOME, ALL, SOME, NONE, NONE])
    give_advantages(given, found.rollouts, 0)
    filtered = gradient(loaded, found.batch, mode)
    assert filtered.abs().max() > 1e-3
    plain = settings(tmp_path, algorithm={"filter_groups": False})
    same, _ = run(plain, asked_of, [NONE, SOME, ALL, SOME])
    give_advantages(plain, same.rollouts, 0)
    taught = set(ids(found.batch)[:2])
    for one in same.batch:
        one.advantage = one.advantage if one.prompt.sample.id in taught else None
    torch.testing.assert_close(gradient(loaded, same.batch, mode), filtered, atol=1e-6, rtol=0)


def test_a_step_with_nothing_to_teach_changes_no_weight(tmp_path, asked_of):
    from test_update import settings as update_settings

    policy, given = tiny().policy, settings(tmp_path, refills=1)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=0.1, weight_decay=0.1)
    taught, _ = run(given, asked_of, [])
    give_advantages(given, taught.rollouts, 0)
    update(policy, optimizer, taught.batch, update_settings())  # so that there is momentum
    before = [value.detach().clone() for value in policy.model.parameters()]
    found, _ = run(given, asked_of, [], then=ALL, step=1)
    metrics = give_advantages(given, found.rollouts, 1)
    assert metrics["reward/mean"] == pytest.approx(1.05) and not any(name.startswith("advantage/") for name in metrics)
    update(policy, optimizer, found.batch, update_settings())
    assert all(torch.equal(old, new) for old, new in zip(before, policy.model.parameters()))


def test_check_tells_what_the_filter_cannot_do(tmp_path):
    given = settings(tmp_path, n=11)
    assert [text.partition(";")[0] for text in warnings_of(given, samples(11))] == [
        "algorithm.filter_groups: 11 training samples cannot always fill the refills of a step"
    ]
    assert warnings_of(given, samples(12)) == []
    given.rewards["answer"].kinds = ["choice"]
    assert [
        "no reward says whether an answer to questions of kind" in text for text in warnings_of(given, samples(12))
    ] == [True]
    assert warnings_of(settings(tmp_path, algorithm={"filter_groups": False}), samples(3)) == []


REWARD = '''
"""Seldom right, so that most groups are all wrong; the style always differs."""
import zlib


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    return float(zlib.crc32(solution_str.encode()) % 6 == 0)


def style(data_source, solution_str, ground_truth, extra_info=None):
    return zlib.crc32(solution_str.encode()) % 97 / 97
'''


def train_here(runs_dir, dies_at=None) -> None:
    """Three steps with refills, entropies and an estimator with a state; ends by itself, hard, after logging step `dies_at`."""
    from medrl import preflight
    from medrl.learning.train import train
    from medrl.record.run import Run

    (runs_dir / "sparse.py").write_text(REWARD)
    use = str(runs_dir / "sparse.py")
    given = recipe(
        runs_dir,
        rewards={"answer": {"use": use}, "style": {"use": f"{use}:style", "weight": 0.3}},
        algorithm={"filter_groups": True, "advantage": "uadt", "group_size": 4},
        training={"steps": 3, "minibatches": 2}, sft={"steps": 0}, val={"every": 9, "max_samples": 2},
        sampling={"max_new_tokens": 6},
    )  # fmt: skip
    run = Run.open(given)

    def observe(entry) -> None:
        if entry["step"] == dies_at:
            os._exit(9)

    train(preflight.check(given), run, observe)


def test_a_killed_and_resumed_run_with_refills_is_the_unbroken_one(tmp_path):
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    unbroken.mkdir(), killed.mkdir()
    train_here(unbroken)
    child = get_context("fork").Process(target=train_here, args=(killed, 3))
    child.start()
    child.join(120)
    assert child.exitcode == 9
    train_here(killed)

    def told(folder) -> list[dict]:
        lines = (folder / "test" / "metrics.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(line).items() if not k.startswith("time/")} for line in lines]

    assert told(unbroken) == told(killed)
    steps = [entry for entry in told(unbroken) if entry["step"] > 0]
    assert sum(entry["group/refills"] for entry in steps) > 3 and any(entry["group/kept"] for entry in steps)
    for step in range(1, 4):
        name = f"rollouts/step_{step:06d}.jsonl"
        assert (unbroken / "test" / name).read_bytes() == (killed / "test" / name).read_bytes()
        rows = [json.loads(line) for line in (unbroken / "test" / name).read_text().splitlines()]
        assert len(rows) == 4 * steps[step - 1]["group/asked"]
        for row in rows:
            assert row.get("filtered", False) == (row["advantage"] is None)
    final = "checkpoints/global_step_3/model/model.safetensors"
    assert (unbroken / "test" / final).read_bytes() == (killed / "test" / final).read_bytes()
    timed = [json.loads(line) for line in (unbroken / "test" / "metrics.jsonl").read_text().splitlines()][1:]
    for entry in timed:
        parts = sum(entry[f"time/{part}_s"] for part in ("build", "generate", "score", "update", "validate"))
        # a refill adds to its part, so no part is told twice, and none is lost
        assert 0.5 * entry["time/step_s"] < parts <= entry["time/step_s"] + 0.001
