"""The validator anyone runs on a reward file of their own: `medrl reward check my_reward.py`.

The file runs in a process of its own with a deadline per reply. Each check says what was found; none is a judgement of
taste, and those that fail would cost a run scores, speed or sense.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.scoring.trial.attacks import ATTACKS
from medrl.scoring.trial.attacks.target import target_of
from medrl.scoring.trial.caged import Cage, Call, Facts, Outcome
from medrl.scoring.trial.examples import Example, example_of, fitting

TIMED_CALLS = 100
SHORT, LONG = 15_000, 150_000  # characters of a flood
SLOW_S = 1.0  # for LONG; a group of eight such replies then takes as long as a small model's update
STEEP = 30.0  # times longer for ten times the length: worse than linear, with room for noise
NOTICED_S = 0.1  # below it growth is noise
FLOODS = ("<answer>", "word ", "[", "1, ", "\u200b", '{"a": ', "\\boxed{", "not B or ", "- ", "\u0301")
TOLD = 3  # reasons shown of many


@dataclass(frozen=True)
class Check:
    """One promise: `ok` is None where nothing could be said about it."""

    name: str
    ok: bool | None
    told: str


@dataclass(frozen=True)
class Checked:
    """A reward file, what it was tried on, and the checks in the order in which they were made."""

    path: Path
    signature: str
    kinds: tuple[str, ...]
    checks: list[Check]

    @property
    def faults(self) -> list[Check]:
        return [check for check in self.checks if check.ok is False]


def check_reward(
    reference: str, kwargs: dict[str, Any] | None = None, timeout_s: float = 10.0, beside: Path | None = None
) -> Checked:
    """Try `path.py[:function]` with these keyword arguments, those of its EXAMPLE added. MedrlError when it does not load."""
    with Cage(reference, kwargs, beside, timeout_s) as cage:
        cage, examples, source = prepared(cage, kwargs)
        facts = cage.facts
        checks = [_signature(facts), _travels(facts)]
        if facts.misfit or not examples:
            if not facts.misfit:
                checks.append(Check("example", False, source))
            return Checked(facts.path, facts.signature, (), checks)
        checks.append(Check("example", True, source))
        calls = [_call(facts, example, reply) for example in examples for reply in (example.right, example.wrong)]
        honest = cage(calls)
        checks.append(_right_above_wrong(examples, honest))
        hostile = [_call(facts, one, reply) for one in examples for reply in _hostile_replies(one)]
        outcomes = cage(hostile)
        checks += [
            _always_a_score(hostile, outcomes),
            _range([*honest, *outcomes]),
            _leaves_alone([*honest, *outcomes]),
        ]
        checks.append(_deterministic(cage, calls, honest))
        checks += _speed(cage, facts, examples)
    return Checked(facts.path, facts.signature, tuple(example.kind for example in examples), checks)


def prepared(cage: Cage, kwargs: dict[str, Any] | None) -> tuple[Cage, list[Example], str]:
    """The cage with the EXAMPLE's own kwargs added, the rows to try it on, and where these come from.

    Without an EXAMPLE the rows of every kind are tried, and those are taken that the reward tells right from wrong.
    """
    if cage.facts.example is not None:
        example = example_of(cage.facts.example, cage.facts.path)
        if example.kwargs.keys() - (kwargs or {}).keys():
            cage.restart({**example.kwargs, **(kwargs or {})})
    if cage.facts.misfit:
        return cage, [], "not tried"
    if cage.facts.example is not None:
        return cage, [example], f"its EXAMPLE, a question of kind {example.kind or '(not stated)'}"
    examples = fitting(cage, cage.facts.of_group)
    if not examples:
        return (
            cage,
            [],
            (
                "no EXAMPLE in the file, and no built-in row of any kind on which a right answer scores above a wrong one. "
                'Add EXAMPLE = {"ground_truth": …, "extra_info": {…}, "right": reply, "wrong": reply} to the file.'
            ),
        )
    kinds = ", ".join(example.kind for example in examples)
    return cage, examples, f"no EXAMPLE in the file; built-in rows it tells right from wrong: {kinds}"


def _call(facts: Facts, example: Example, reply: str) -> Call:
    return example.group(reply) if facts.of_group else example.call(reply)


def _hostile_replies(example: Example) -> list[str]:
    target = target_of(example)
    applying = [attack for attack in ATTACKS if attack.applies(example.kind)]
    return list(dict.fromkeys(hostile.reply for attack in applying for hostile in attack.make(target)))


def _signature(facts: Facts) -> Check:
    what = f"{'asynchronous, ' if facts.is_async else ''}scores {'a group' if facts.of_group else 'one reply'}"
    if facts.misfit:
        return Check("signature", False, f"{facts.signature} cannot be called as training will: {facts.misfit}")
    return Check("signature", True, f"{facts.signature}: {what}")


def _travels(facts: Facts) -> Check:
    if facts.can_travel:
        return Check("picklable", False, f"it cannot be sent to another process: {facts.can_travel}")
    return Check("picklable", True, "the function can be sent to another process")


def _right_above_wrong(examples: Sequence[Example], honest: Sequence[Outcome]) -> Check:
    told, ok = [], True
    for example, right, wrong in zip(examples, honest[::2], honest[1::2]):
        if right.score is None or wrong.score is None:
            told.append(f"{example.kind}: an honest reply has no score: {right.reason or wrong.reason}")
            ok = False
            continue
        ok = ok and right.score >= wrong.score
        same = " (it does not look at rightness)" if right.score == wrong.score else ""
        told.append(f"{example.kind or 'EXAMPLE'}: right {right.score:g}, wrong {wrong.score:g}{same}")
    return Check("right above wrong", ok, "; ".join(told))


def _always_a_score(calls: Sequence[Call], outcomes: Sequence[Outcome]) -> Check:
    failed = [(call, one) for call, one in zip(calls, outcomes) if one.entries is None]
    if not failed:
        return Check("scores every reply", True, f"{len(outcomes)} hostile replies, each has a finite score")
    reasons = {one.reason: call for call, one in failed}
    told = "; ".join(f"{reason} on {_reply(call)}" for reason, call in list(reasons.items())[:TOLD])
    return Check("scores every reply", False, f"{len(failed)} of {len(outcomes)} hostile replies have none: {told}")


def _range(outcomes: Sequence[Outcome]) -> Check:
    scores = [one.score for one in outcomes if one.score is not None]
    if not scores:
        return Check("range", None, "no score at all")
    names = sorted({name for one in outcomes for name in one.entries or {} if name != "score"})
    logged = f"; also logs {', '.join(names)}" if names else ""
    return Check("range", True, f"{min(scores):g} to {max(scores):g} over {len(scores)} replies{logged}")


def _leaves_alone(outcomes: Sequence[Outcome]) -> Check:
    wrote = sum(one.wrote for one in outcomes)
    told = f"it changed its arguments in {wrote} of {len(outcomes)} calls; the next reward would see that"
    return Check(
        "leaves extra_info alone", not wrote, told if wrote else "its arguments are as they were after every call"
    )


def _deterministic(cage: Cage, calls: Sequence[Call], first: Sequence[Outcome]) -> Check:
    again = cage(calls)
    cage.restart(cage.kwargs)  # another hash seed, another state
    fresh = cage(calls)
    for other, where in ((again, "the second time"), (fresh, "in a fresh process")):
        for one, two in zip(first, other):
            if one.entries != two.entries:
                return Check("deterministic", False, f"{one.entries} first, {two.entries} {where}, for the same reply")
    return Check("deterministic", True, "the same twice, and in a fresh process")


def _speed(cage: Cage, facts: Facts, examples: Sequence[Example]) -> list[Check]:
    timed = cage([_call(facts, example, example.right) for example in examples] * (TIMED_CALLS // len(examples)))
    median_us = statistics.median(one.seconds for one in timed) * 1e6
    target = target_of(examples[0])
    calls = [
        _call(facts, examples[0], target.stated(flood * (length // len(flood))))
        for flood in FLOODS
        for length in (SHORT, LONG)
    ]
    outcomes = cage(calls)
    if any(one.seconds > NOTICED_S for one in outcomes):  # a busy machine: the faster of two tries
        again = cage(calls)
        outcomes = [one if 0 < one.seconds <= two.seconds else two for one, two in zip(outcomes, again)]
    worst, growth, hung, slowest = 0.0, 0.0, "", ""
    for short, long, flood in zip(outcomes[::2], outcomes[1::2], FLOODS):
        if not (short.seconds and long.seconds):
            hung = hung or f"a flood of {flood!r}: {long.reason or short.reason}"
            continue
        if long.entries is None and "no answer within" in long.reason:
            hung = f"a flood of {flood!r}: {long.reason}"
        if long.seconds > worst:
            worst, slowest = long.seconds, flood
        if long.seconds > NOTICED_S:
            growth = max(growth, long.seconds / short.seconds)
    told = f"{LONG:,} characters take up to {worst * 1e3:.3g} ms ({slowest!r} over and over)"
    if growth > STEEP:
        told += f", {growth:.0f} times as long as a tenth of them: worse than linear"
    ok = not hung and worst <= SLOW_S and growth <= STEEP
    return [Check("speed", True, f"median {median_us:.0f} µs a reply"), Check("long replies", ok, hung or told)]


def _reply(call: Call) -> str:
    shown = repr((call[0] if isinstance(call, list) else call)["solution_str"])
    return shown if len(shown) <= 100 else f"{shown[:70]} … ({len(shown)} characters)"
