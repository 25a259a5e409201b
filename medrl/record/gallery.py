"""What the model did, for people: held-out questions before and after, and the groups of one training step.

The choice is a fixed rule and never a hand: outcomes get a quota, questions follow the order of their hash, kinds take
turns. The page therefore shows more failures than a lucky pick would, and says what share each outcome really has. A
reward that is missing stays missing: it is neither right nor wrong, and never 0.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medrl.record.pictures import Picture, has_picture, pictures
from medrl.record.replies import Reply, Row, dict_of, integer_of, number_of, shorten, text_of, verdict_of, view_reply

QUOTAS = {"improved": 10, "still wrong": 6, "worsened": 4, "still right": 4, "not graded": 0}
MAX_CARDS = 24
MAX_GROUPS = 8
MAX_ATTEMPTS = 64
PROMPT_CHARACTERS = 2500
LABEL_CHARACTERS = 600

_REPEATED_TOKEN = re.compile(r"(<\|[a-zA-Z_]{1,40}\|>)\1{3,}")


@dataclass(frozen=True)
class Card:
    """One question with its replies: before and after, or the attempts of a group."""

    sample_id: str
    data_source: str
    kind: str
    outcome: str
    question: str
    options: tuple[tuple[str, str], ...]  # empty when the question already spells them out
    truth: str
    truth_option: str
    truth_for_model: str
    prompt: str
    pictures: tuple[Picture, ...]
    replies: tuple[Reply, ...]
    note: str = ""


@dataclass(frozen=True)
class HeldOut:
    """The cards, the two steps they compare (equal when there is only one), and the true share of every outcome."""

    cards: tuple[Card, ...]
    step_before: int
    step_after: int
    counts: dict[str, int]
    judged_by: str

    @property
    def total(self) -> int:
        """Attempts that were graded at both steps."""
        return sum(count for outcome, count in self.counts.items() if outcome != "not graded")


def held_out(run_dir: Path, before: Sequence[Row], after: Sequence[Row]) -> HeldOut | None:
    """Compare the same attempts at the same questions in two evaluations; None when they share none."""
    first = {_attempt_key(row): row for row in before}
    pairs = [(first[key], row) for row in after if (key := _attempt_key(row)) in first]
    if not pairs:
        return None
    judged_by = "answer/score" if any("answer/score" in dict_of(row, "scores") for _, row in pairs) else "reward"
    by_outcome: dict[str, list[tuple[Row, Row]]] = {outcome: [] for outcome in QUOTAS}
    for pair in pairs:
        by_outcome[_outcome(*pair, judged_by)].append(pair)
    cards = [
        _before_after(run_dir, outcome, pair, judged_by)
        for outcome, chosen in _choose(run_dir, by_outcome).items()
        for pair in chosen
    ]
    counts = {outcome: len(found) for outcome, found in by_outcome.items()}
    return HeldOut(tuple(cards), _step(pairs[0][0]), _step(pairs[0][1]), counts, judged_by)


def groups(run_dir: Path, rows: Sequence[Row]) -> tuple[list[Card], int, int]:
    """Cards of up to 8 prompts with their attempts; the number of groups in the step; how many of them had no spread.

    Groups whose rewards differ come first, since the others taught nothing; pictures that were kept before others.
    """
    by_sample: dict[str, list[Row]] = {}
    for row in rows:
        by_sample.setdefault(str(row.get("sample_id")), []).append(row)
    flat = {sample for sample, group in by_sample.items() if len(_known_rewards(group)) < 2}

    def rank(sample: str) -> tuple[bool, bool, str]:
        return not has_picture(run_dir, by_sample[sample][0]), sample in flat, _hash(sample)

    cards: list[Card] = []
    room = MAX_ATTEMPTS
    for sample in sorted(by_sample, key=rank)[:MAX_GROUPS]:
        attempts = sorted(by_sample[sample], key=lambda row: integer_of(row.get("attempt")))
        if cards and len(attempts) > room:
            break
        shown = attempts[:room]
        note = f"{len(shown)} of {len(attempts)} attempts shown. " if len(shown) < len(attempts) else ""
        note += "No spread: this group gave no gradient." if sample in flat and len(attempts) > 1 else ""
        judged_by = "answer/score" if any("answer/score" in dict_of(row, "scores") for row in attempts) else "reward"
        boxes = [("reply", text_of(row, "reply")) for row in shown]
        cards.append(_card(run_dir, "", shown, judged_by, boxes, note))
        room -= len(shown)
    return cards, len(by_sample), len(flat)


def shorten_prompt(prompt: str, characters: int) -> str:
    """The prompt with a run of one special token written once and counted, cut to `characters`."""
    return shorten(_REPEATED_TOKEN.sub(_counted, prompt[:200_000]), characters)


def _known_rewards(rows: Iterable[Row]) -> set[float]:
    """The different rewards of a group; a missing one is none of them."""
    return {reward for row in rows if (reward := number_of(row.get("reward"))) is not None}


def _choose(run_dir: Path, by_outcome: Mapping[str, list[tuple[Row, Row]]]) -> dict[str, list[tuple[Row, Row]]]:
    """Up to `MAX_CARDS` pairs, one for a question: each outcome its quota, places left over to the outcomes in turn."""
    with_picture = {
        outcome: [pair for pair in pairs if has_picture(run_dir, pair[1])] for outcome, pairs in by_outcome.items()
    }
    candidates = with_picture if any(with_picture.values()) else by_outcome
    queues = {outcome: _in_turn(pairs) for outcome, pairs in candidates.items()}
    chosen: dict[str, list[tuple[Row, Row]]] = {outcome: [] for outcome in by_outcome}
    seen: set[str] = set()

    def take(outcome: str, most: int) -> None:
        queue = queues[outcome]
        while queue and len(chosen[outcome]) < most and len(seen) < MAX_CARDS:
            pair = queue.pop(0)
            if (sample := str(pair[1].get("sample_id"))) not in seen:
                seen.add(sample)
                chosen[outcome].append(pair)

    for outcome, quota in QUOTAS.items():
        take(outcome, quota)
    while len(seen) < MAX_CARDS and any(queues.values()):
        for outcome in QUOTAS:
            take(outcome, len(chosen[outcome]) + 1)
    return chosen


def _in_turn(pairs: Iterable[tuple[Row, Row]]) -> list[tuple[Row, Row]]:
    """In the order of the questions' hashes, but one of each kind at a time."""
    by_kind: dict[str, list[tuple[Row, Row]]] = {}
    for pair in sorted(pairs, key=lambda pair: (_hash(str(pair[1].get("sample_id"))), _attempt_key(pair[1]))):
        by_kind.setdefault(str(pair[1].get("kind")), []).append(pair)
    longest = max((len(queue) for queue in by_kind.values()), default=0)
    return [queue[turn] for turn in range(longest) for _, queue in sorted(by_kind.items()) if turn < len(queue)]


def _before_after(run_dir: Path, outcome: str, pair: tuple[Row, Row], judged_by: str) -> Card:
    before, after = pair
    if _step(before) == _step(after):
        return _card(run_dir, outcome, [after], judged_by, [("reply", text_of(after, "reply"))])
    texts = [("before", text_of(before, "reply")), ("after", text_of(after, "reply"))]
    return _card(run_dir, outcome, [before, after], judged_by, texts)


def _card(
    run_dir: Path,
    outcome: str,
    rows: Sequence[Row],
    judged_by: str,
    box_texts: Sequence[tuple[str, str]],
    note: str = "",
) -> Card:
    row = rows[-1]
    truth, truth_for_model = text_of(row, "ground_truth"), text_of(row, "truth_in_model_frame")
    question = shorten(text_of(row, "question"), PROMPT_CHARACTERS)
    options = {str(key)[:20]: shorten(str(text), 300) for key, text in list(dict_of(row, "options").items())[:26]}
    spelt_out = all(text in question for text in options.values())
    return Card(
        sample_id=shorten(text_of(row, "sample_id"), LABEL_CHARACTERS),
        data_source=shorten(text_of(row, "data_source"), LABEL_CHARACTERS),
        kind=shorten(text_of(row, "kind") or "other", 40),
        outcome=outcome,
        question=question,
        options=() if spelt_out else tuple(options.items()),
        truth=shorten(truth, LABEL_CHARACTERS),
        truth_option=options.get(truth, ""),
        truth_for_model=shorten(truth_for_model, LABEL_CHARACTERS) if truth_for_model != truth else "",
        prompt=shorten_prompt(text_of(row, "prompt"), PROMPT_CHARACTERS),
        pictures=pictures(run_dir, row, [("truth", truth_for_model or truth), *box_texts]),
        replies=tuple(view_reply(attempt, judged_by) for attempt in rows),
        note=note,
    )


def _outcome(before: Row, after: Row, judged_by: str) -> str:
    verdicts = (verdict_of(before, judged_by), verdict_of(after, judged_by))
    if "ungraded" in verdicts:
        return "not graded"
    return {
        ("wrong", "right"): "improved",
        ("wrong", "wrong"): "still wrong",
        ("right", "wrong"): "worsened",
        ("right", "right"): "still right",
    }[verdicts]


def _attempt_key(row: Row) -> tuple[str, int]:
    return str(row.get("sample_id")), integer_of(row.get("attempt"))


def _counted(match: re.Match[str]) -> str:
    """A run of one special token, as `<|image_pad|> × 256`."""
    return f"{match[1]} × {len(match[0]) // len(match[1])} "


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def _step(row: Row) -> int:
    return integer_of(row.get("step"))
