"""Attack a reward: no hostile reply may earn more than the honest reply that it stands for.

Each attack names that honest reply, most often the wrong one; a reply that leaves no score has won as well, since its
rollout escapes a bad one. Blind answers are compared with what guessing earns on average, plus BLIND_MARGIN.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from medrl.errors import MedrlError
from medrl.scoring.trial.attacks import ATTACKS
from medrl.scoring.trial.attacks.target import Attack, Hostile, Target, guesses, target_of
from medrl.scoring.trial.caged import Call, Outcome
from medrl.scoring.trial.examples import Example

SAME = 1e-9
BLIND_MARGIN = 0.05  # of the reward: below it a blind answer is not worth learning
SHOWN = 160  # characters of a hostile reply
RULE = (
    "An attack has beaten a reward when it earns more than the honest reply in its place (`bar`): the wrong one, or the "
    "same answer plainly given where the attack only decorates it. A blind answer, such as the whole picture as a box, may "
    f"earn up to {BLIND_MARGIN:g} more than guesses all over the picture earn on average. A reply without a score has won too."
)
Run = Callable[[Iterable[Call]], list[Outcome]]
Verdict = Literal["held", "beaten", "no score"]


@dataclass(frozen=True)
class Finding:
    """How one attack fared against one kind of question: its best reply, what that earned, and what it may earn (`bar`).

    `through`: of several rewards, those that pay more for it than for the honest reply.
    """

    attack: str
    kind: str
    verdict: Verdict
    bar: float | None
    score: float | None
    reply: str
    reason: str = ""
    through: tuple[str, ...] = ()


def attack_all(run: Run, examples: Sequence[Example], of_group: bool = False) -> list[Finding]:
    """Every attack that fits on every example; one finding per attack and kind, its worst. Blind attacks go by their mean.

    `run` scores calls, in order; of a group the first member is meant. MedrlError when an honest reply has no score.
    """
    found: dict[tuple[str, str], list[Finding]] = {}
    for example in examples:
        for finding in _attack_one(run, example, of_group):
            found.setdefault((finding.attack, finding.kind), []).append(finding)
    blind = {attack.name for attack in ATTACKS if attack.blind}
    return [_averaged(several) if name in blind else _worst(several) for (name, _), several in found.items()]


def _attack_one(run: Run, example: Example, of_group: bool) -> list[Finding]:
    target = target_of(example)
    trials = [
        (attack, hostile, setting)
        for attack in ATTACKS
        if attack.applies(example.kind)
        for hostile in attack.make(target)
        for setting in _settings(example, hostile)
    ]
    is_blind = any(attack.blind for attack, _, _ in trials)
    blind = [target.stated(guess) for guess in guesses(target)] if is_blind else []
    wanted: dict[tuple[str, str], Call] = {}

    def want(reply: str, setting: str, actions: Sequence[dict[str, Any]] = ()) -> tuple[str, str]:
        key = (reply, setting + repr(actions))
        record = None if setting == "given" else _bare(example, reply, actions)
        wanted.setdefault(key, example.group(reply, record) if of_group else example.call(reply, record))
        return key

    keys = [
        (want(hostile.reply, setting, hostile.actions), want(hostile.instead or target.wrong, setting))
        for _, hostile, setting in trials
    ]
    settings = dict.fromkeys(setting for _, _, setting in trials)
    blind_keys = {setting: [want(reply, setting) for reply in (target.wrong, *blind)] for setting in settings}
    outcomes = dict(zip(wanted, run(list(wanted.values()))))
    by_attack: dict[str, list[Finding]] = {}
    for (attack, hostile, setting), (mine, honest) in zip(trials, keys):
        bar = _blind_bar([outcomes[key] for key in blind_keys[setting]]) if attack.blind else outcomes[honest].score
        if bar is None:
            raise MedrlError(
                f"the honest reply {_shortened(hostile.instead or target.wrong)!r} to a question of kind "
                f"{example.kind or 'unknown'} has no score: {outcomes[honest].reason}. Run `medrl reward check` first."
            )
        by_attack.setdefault(attack.name, []).append(
            _judged(attack, hostile, example, bar, outcomes[mine], outcomes[honest])
        )
    return [_worst(several) for several in by_attack.values()]


def _settings(example: Example, hostile: Hostile) -> list[str]:
    """`given`: with the episode in the example's own extra_info; `bare`: one in which the environment confirmed nothing."""
    if "rollout" not in example.extra_info:
        return [] if hostile.actions else ["given"]
    return ["bare"] if hostile.actions else ["given", "bare"]


def _bare(example: Example, reply: str, actions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An episode of this reply, with nothing confirmed but `actions`."""
    given = example.extra_info["rollout"] or {}
    return {
        "turns": [reply],
        "asked": [False],
        "image_sizes": given.get("image_sizes") or [list(example.extra_info.get("image_size") or (640, 480))],
        "actions": [dict(action) for action in actions],
        "refused": 0,
        "end_reason": "eos",
    }


def _judged(attack: Attack, hostile: Hostile, example: Example, bar: float, mine: Outcome, honest: Outcome) -> Finding:
    verdict: Verdict = "held"
    if mine.entries is None:
        verdict = "no score"
    elif mine.entries["score"] > bar + SAME:
        verdict = "beaten"
    parts = mine.entries or {}
    through = tuple(
        name
        for name, value in parts.items()
        if verdict == "beaten" and name != "score" and value > (honest.entries or {}).get(name, 0.0) + SAME
    )
    return Finding(attack.name, example.kind, verdict, bar, mine.score, _shortened(hostile.reply), mine.reason, through)


def _blind_bar(outcomes: Sequence[Outcome]) -> float | None:
    """What the wrong reply earns, or guessing on average if that is more, and the margin."""
    wrong, *guessed = [outcome.score for outcome in outcomes]
    known = [score for score in guessed if score is not None]
    if wrong is None:
        return None
    return max(wrong, sum(known) / len(known) if known else wrong) + BLIND_MARGIN


def _worst(several: Sequence[Finding]) -> Finding:
    order = {"held": 0, "no score": 1, "beaten": 2}
    return max(several, key=lambda one: (order[one.verdict], (one.score or 0.0) - (one.bar or 0.0)))


def _averaged(several: Sequence[Finding]) -> Finding:
    """One blind attack over the rows of a kind."""
    if any(one.score is None for one in several):
        return _worst(several)
    score = sum(one.score or 0.0 for one in several) / len(several)
    bar = sum(one.bar or 0.0 for one in several) / len(several)
    verdict: Verdict = "beaten" if score > bar + SAME else "held"
    return replace(_worst(several), score=score, bar=bar, verdict=verdict)


def _shortened(reply: str) -> str:
    shown = (
        reply if len(reply) <= SHOWN else f"{reply[: SHOWN // 2]} … {reply[-SHOWN // 2 :]} ({len(reply)} characters)"
    )
    return shown.encode("unicode_escape", "backslashreplace").decode("ascii") if not shown.isprintable() else shown


__all__ = ["ATTACKS", "RULE", "Finding", "Target", "attack_all"]
