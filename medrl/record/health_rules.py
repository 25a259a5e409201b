"""One rule an alarm: its metric over a window, held against the limit of `health:`, and the sentence that tells of it.

`docs/health.md` lists them. Every rule reads numbers that both engines write to the journal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from medrl.recipe import Recipe
from medrl.record.alarms import is_number
from medrl.record.windows import History, Span
from medrl.scoring.accuracy import accuracy_reward, judges

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
AGAINST_FIRST = ("entropy_collapse", "format_only", "length_drift")  # judged once two windows have passed


@dataclass(frozen=True)
class Reading:
    """One alarm's metric held against its limit. `inside`: so far on the good side that an alarm clears."""

    value: float
    beyond: bool
    inside: bool
    text: str


def read(name: str, entry: Mapping[str, Any], history: History, recipe: Recipe) -> Reading | None:
    """One alarm's reading after `entry`, which `history` has taken; None where its metric is absent or too young."""
    metric = METRICS.get(name) or _score(accuracy_reward(recipe))
    return RULES[name](history, recipe) if is_number(entry.get(metric)) else None


def never_judged(recipe: Recipe) -> list[str]:
    """Warnings of alarms a run is to stop on, and is too short to raise before its last step."""
    found = []
    for name in dict.fromkeys(recipe.health.stop_on):
        needed = recipe.health.window * (2 if name in AGAINST_FIRST else 1)
        if needed >= recipe.training.steps:
            found.append(
                f"health.stop_on: {name} is first judged after step {needed} (health.window={recipe.health.window}), and "
                f"training.steps={recipe.training.steps}, so it cannot end this run; lower health.window"
            )
    return found


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
        f"The sampler's log-probabilities differed from the trainer's by {span.mean:.3g} nats a token over {span.steps}, "
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
    share = _told(last.mean / first.mean)
    text = (
        f"The policy's entropy was {last.mean:.3g} nats over {last.steps}, {_percent(share)} of the {first.mean:.3g} over "
        f"{first.steps}, expected at least {_percent(limit)} (health.entropy_collapse={limit:g}): its attempts hardly "
        "differ any more; try a lower optimizer.lr, algorithm.clip_high=0.28, or a higher algorithm.kl_coef."
    )
    return Reading(share, share < limit, share >= min(limit * (1 + BACK), 1.0), text)


def _length_drift(history: History, recipe: Recipe) -> Reading | None:
    limit = recipe.health.length_drift
    spans = history.both(METRICS["length_drift"])
    if spans is None or spans[0].mean <= 0 or (ratio := _told(spans[1].mean / spans[0].mean)) <= 0:
        return None
    first, last = spans
    advice = (
        "algorithm.advantage=dr_grpo, whose loss does not favour long wrong replies, or a reward that asks for less"
        if ratio > 1
        else "a higher algorithm.kl_coef, or the rewards: which of them does a short reply earn"
    )
    text = (
        f"Replies had {last.mean:.4g} tokens over {last.steps}, {ratio:.3g} times the {first.mean:.4g} over {first.steps}, "
        f"expected between 1/{limit:g} and {limit:g} times (health.length_drift={limit:g}); try {advice}."
    )
    return Reading(ratio, *_above(max(ratio, 1 / ratio) - 1, limit - 1), text)


def _format_only(history: History, recipe: Recipe) -> Reading | None:
    """The largest gain of a reward that counts, while accuracy stood still or fell."""
    limit, right = recipe.health.format_only, accuracy_reward(recipe)
    accuracy = history.both(_score(right))
    gates = {reward.gate for reward in recipe.rewards.values()}
    answers = judges(recipe)  # a second reward for answers, of another kind of question, is no form
    gains: list[tuple[float, str, Span, Span]] = []
    for name, reward in recipe.rewards.items():
        earned = reward.weight != 0 or name in gates  # else it is only looked at, and nothing is learnt from it
        if name not in answers and earned and (spans := history.both(_score(name))):
            gain = _told(spans[1].mean - spans[0].mean)
            gains.append((-gain if reward.weight < 0 else gain, name, *spans))
    if accuracy is None or not gains:
        return None
    gain, name, first, last = max(gains, key=lambda one: one[0])
    change = _told(accuracy[1].mean - accuracy[0].mean)
    beyond, inside = _above(gain, limit)
    text = (
        f"The reward {name} went from {first.mean:.3g} over {first.steps} to {last.mean:.3g} over {last.steps} while accuracy, "
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


def _told(value: float) -> float:
    """Nine decimals: 0.42 - 0.40 is a gain of 0.02, and not a little less."""
    return round(value, 9)


def _score(reward: str) -> str:
    return f"reward/{reward}/score"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
