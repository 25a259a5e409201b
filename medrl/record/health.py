"""Alarms: what a run's own metrics say is going wrong, judged after every step from the journal and nothing else.

A limit of `health:` is held against the mean of the last `health.window` values of a metric, for some against that of
the first ones. An alarm is told when it is raised and when it has cleared, not in between. A resumed run reads the
journal first, so it tells what an unbroken one would at the same steps. docs/health.md says what each alarm means.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from medrl.recipe import Recipe
from medrl.record.alarms import is_number, raised_alarms
from medrl.record.reading import read_lines
from medrl.scoring.accuracy import accuracy_reward

ACCURACY_GAIN = 0.02  # below it accuracy has not moved, and what another reward gained is form
BACK = 0.1  # an alarm clears when the mean is this share of the limit inside it, so that it does not flicker
METRICS = {
    "entropy_collapse": "policy/entropy",
    "zero_spread": "group/zero_spread",
    "truncated": "rollout/truncated",
    "missing": "reward/missing",
    "engine_gap": "policy/engine_gap",
    "length_drift": "rollout/length",
}  # and format_only: the scores of rewards


@dataclass(frozen=True)
class Alarm:
    """A limit that is passed. `text`: one sentence with what was found, what was expected, since when, and what to try."""

    name: str
    value: float
    limit: float
    step: int
    text: str


@dataclass(frozen=True)
class Span:
    """A metric over some steps, the first and the last of them."""

    mean: float
    since: int
    until: int

    @property
    def steps(self) -> str:
        return f"step {self.since}" if self.since == self.until else f"steps {self.since} to {self.until}"


@dataclass(frozen=True)
class Reading:
    """One alarm's metric held against its limit. `inside`: so far on the good side that an alarm clears."""

    value: float
    beyond: bool
    inside: bool
    text: str


class History:
    """The first and the last `window` values of every number a journal has. Absent and not finite ones are passed over."""

    def __init__(self, window: int) -> None:
        self.window = window
        self._first: dict[str, list[tuple[int, float]]] = {}
        self._last: dict[str, deque[tuple[int, float]]] = {}  # as long as both windows

    def take(self, step: int, entry: Mapping[str, Any]) -> None:
        """The metrics of one GRPO step."""
        for name, value in entry.items():
            if is_number(value):
                first = self._first.setdefault(name, [])
                if len(first) < self.window:
                    first.append((step, value))
                self._last.setdefault(name, deque(maxlen=2 * self.window)).append((step, value))

    def last(self, metric: str) -> Span | None:
        """Over the last window; None before it is full."""
        points = self._last.get(metric, ())
        return _span(list(points)[-self.window :]) if len(points) >= self.window else None

    def both(self, metric: str) -> tuple[Span, Span] | None:
        """Over the first window and over the last; None as long as they overlap."""
        if len(self._last.get(metric, ())) < 2 * self.window:
            return None
        return _span(self._first[metric]), _span(list(islice(self._last[metric], self.window, None)))


class Health:
    """The alarms of one run as its journal grows."""

    def __init__(self, recipe: Recipe, journal: Path) -> None:
        self.recipe = recipe
        self.journal = journal
        self.history = History(recipe.health.window)
        self.standing: dict[str, float] = {}  # alarms that are up, and the limit that each was raised by
        self.stop: str | None = None  # why the run should end after the step judged last
        self._recalled = False

    def judge(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """What a step's entry says beyond its metrics, before it is written to the journal.

        `health/<name>`: 1 while that alarm is up, else 0, of every alarm that can be judged; `alarms`: those raised now;
        `alarms_cleared`: names. The last two only where there are any.
        """
        if not self._recalled:
            self._recall()
        self.stop = None
        if entry["stage"] != "grpo":
            return {}
        self.history.take(entry["step"], entry)
        found: dict[str, Any] = {}
        raised, cleared = [], []
        for name in RULES:
            limit = float(getattr(self.recipe.health, name))
            if (reading := read(name, entry, self.history, self.recipe)) is None:
                continue
            back = reading.inside or (self.standing.get(name, limit) != limit and not reading.beyond)
            if reading.beyond and name not in self.standing:
                self.standing[name] = limit
                raised.append(Alarm(name, reading.value, limit, entry["step"], reading.text))
            elif back and self.standing.pop(name, None) is not None:
                cleared.append(name)
            found[f"health/{name}"] = float(name in self.standing)
            if reading.beyond and name in self.recipe.health.stop_on:
                self.stop = self.stop or _stop_reason(name, reading.text)
        if raised:
            keys = ("name", "value", "limit", "text")  # the step is the entry's
            found["alarms"] = [{key: getattr(alarm, key) for key in keys} for alarm in raised]
        return {**found, "alarms_cleared": cleared} if cleared else found

    def _recall(self) -> None:
        """Take in what the journal holds: metrics, and what it has told of alarms."""
        self._recalled = True
        entries = [entry for entry in read_lines(self.journal, []) if entry.get("stage") == "grpo"]
        for entry in entries:
            self.history.take(entry["step"], entry)
        self.standing = {alarm.name: alarm.limit for alarm in raised_alarms(entries) if alarm.standing}


def read(name: str, entry: Mapping[str, Any], history: History, recipe: Recipe) -> Reading | None:
    """One alarm's reading after `entry`, which `history` has taken; None where its metric is absent or too young."""
    metric = METRICS.get(name) or _score(accuracy_reward(recipe))
    return RULES[name](history, recipe) if is_number(entry.get(metric)) else None


def _share_above(name: str, what: str, advice: str) -> Callable[[History, Recipe], Reading | None]:
    """A rule: the mean share of the last window may not be above the limit."""

    def rule(history: History, recipe: Recipe) -> Reading | None:
        limit = getattr(recipe.health, name)
        if (span := history.last(METRICS[name])) is None:
            return None
        text = (
            f"{_percent(span.mean)} of the {what} over {span.steps}, expected at most {_percent(limit)} "
            f"(health.{name}={limit:g}); try {advice}."
        )
        return Reading(span.mean, *_above(span.mean, limit), text)

    return rule


def _engine_gap(history: History, recipe: Recipe) -> Reading | None:
    limit = recipe.health.engine_gap
    if (span := history.last(METRICS["engine_gap"])) is None:
        return None
    text = (
        f"the sampler's log-probabilities differed from the trainer's by {span.mean:.3g} nats a token over {span.steps}, "
        f"expected at most {limit:g} (health.engine_gap): the two are no longer one policy; try model.dtype=float32, "
        "training.minibatches=1, a lower optimizer.lr, or the versions of constraints.txt."
    )
    return Reading(span.mean, *_above(span.mean, limit), text)


def _entropy_collapse(history: History, recipe: Recipe) -> Reading | None:
    limit = recipe.health.entropy_collapse
    spans = history.both(METRICS["entropy_collapse"])
    if spans is None or spans[0].mean <= 0:
        return None
    first, last = spans
    share = last.mean / first.mean
    text = (
        f"the policy's entropy was {last.mean:.3g} nats over {last.steps}, {_percent(share)} of the {first.mean:.3g} over "
        f"{first.steps}, expected at least {_percent(limit)} (health.entropy_collapse={limit:g}): its attempts hardly "
        "differ any more; try a lower optimizer.lr, algorithm.clip_high=0.28, or a higher algorithm.kl_coef."
    )
    return Reading(share, share < limit, share >= min(limit * (1 + BACK), 1.0), text)


def _length_drift(history: History, recipe: Recipe) -> Reading | None:
    limit = recipe.health.length_drift
    spans = history.both(METRICS["length_drift"])
    if spans is None or min(span.mean for span in spans) <= 0:
        return None
    first, last = spans
    ratio = last.mean / first.mean
    advice = (
        "algorithm.advantage=dr_grpo, whose loss does not favour long wrong replies, or a reward that asks for less"
        if ratio > 1
        else "a higher algorithm.kl_coef, or the rewards: which of them does a short reply earn"
    )
    text = (
        f"replies had {last.mean:.4g} tokens over {last.steps}, {ratio:.3g} times the {first.mean:.4g} over {first.steps}, "
        f"expected between 1/{limit:g} and {limit:g} times (health.length_drift={limit:g}); try {advice}."
    )
    return Reading(ratio, *_above(max(ratio, 1 / ratio) - 1, limit - 1), text)


def _format_only(history: History, recipe: Recipe) -> Reading | None:
    """The largest gain of a reward that counts, while accuracy stood still or fell."""
    limit, right = recipe.health.format_only, accuracy_reward(recipe)
    accuracy = history.both(_score(right))
    gates = {reward.gate for reward in recipe.rewards.values()}
    gains: list[tuple[float, str, Span, Span]] = []
    for name, reward in recipe.rewards.items():
        earned = reward.weight != 0 or name in gates  # else it is only looked at, and nothing is learnt from it
        if name != right and earned and (spans := history.both(_score(name))):
            gain = spans[1].mean - spans[0].mean
            gains.append((-gain if reward.weight < 0 else gain, name, *spans))
    if accuracy is None or not gains:
        return None
    gain, name, first, last = max(gains, key=lambda one: one[0])
    change = accuracy[1].mean - accuracy[0].mean
    beyond, inside = _above(gain, limit)
    text = (
        f"the reward {name} went from {first.mean:.3g} over {first.steps} to {last.mean:.3g} over {last.steps} while accuracy, "
        f"the reward {right}, changed by {change:+.3g}, expected at least {ACCURACY_GAIN:+g} where another reward gains more "
        f"than {limit:g} (health.format_only); try a lower rewards.{name}.weight or rewards.{name}.gate={right}, and look with "
        "`medrl view` at what earns it."
    )
    return Reading(gain, beyond and change < ACCURACY_GAIN, inside or change >= ACCURACY_GAIN * (1 + BACK), text)


RULES: dict[str, Callable[[History, Recipe], Reading | None]] = {
    "entropy_collapse": _entropy_collapse,
    "zero_spread": _share_above(
        "zero_spread",
        "groups had attempts that were all alike and taught nothing",
        "algorithm.filter_groups=true, questions of another difficulty (curriculum.min_pass_rate and max_pass_rate), or a "
        "larger algorithm.group_size",
    ),
    "format_only": _format_only,
    "truncated": _share_above(
        "truncated",
        "replies were cut off",
        "a higher sampling.max_new_tokens, algorithm.mask_over_turns=true, or a prompt.style that asks for less",
    ),
    "missing": _share_above(
        "missing",
        "rollouts had no score",
        "mending the reward (`medrl reward check`; `missing` in rollouts/ says why), or a longer timeout_s of it; the run "
        "fails at scoring.max_missing",
    ),
    "engine_gap": _engine_gap,
    "length_drift": _length_drift,
}


def _above(value: float, limit: float) -> tuple[bool, bool]:
    """(beyond the limit, inside it by enough)."""
    return value > limit, value <= limit * (1 - BACK)


def _span(points: Sequence[tuple[int, float]]) -> Span:
    return Span(math.fsum(value for _, value in points) / len(points), points[0][0], points[-1][0])


def _score(reward: str) -> str:
    return f"reward/{reward}/score"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _stop_reason(name: str, text: str) -> str:
    return (
        f"Alarm {name}: {text} The run was to stop on it (health.stop_on). To go on from here: the same command with "
        f"'health.stop_on=[]', or with another limit, health.{name}=…"
    )
