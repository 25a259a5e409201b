"""What the model did, for people: held-out questions before and after, and the groups of one training step.

The choice is a fixed rule and never a hand: outcomes get a quota, questions follow the order of their hash, kinds take
turns. The page therefore shows more failures than a lucky pick would, and says what share each outcome really has. A
reward that is missing stays missing: it is neither right nor wrong, and never 0.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.record.charts import number_text
from medrl.record.pictures import Picture, has_picture, pictures

Row = Mapping[str, Any]

RIGHT = 0.5  # an answer scores at least so much when it counts as right; for boxes the usual overlap
QUOTAS = {"improved": 10, "still wrong": 6, "worsened": 4, "still right": 4, "not graded": 0}
MAX_CARDS = 24
MAX_GROUPS = 8
MAX_ATTEMPTS = 64
REPLY_CHARACTERS = 4000
PROMPT_CHARACTERS = 2500
LABEL_CHARACTERS = 600

# the grader's tags (dialogue/answer_region.py), and a tool call's
_TAG = re.compile(r"<\s*+(?P<close>/?+)\s*+(?P<name>(?a:think|answer|tool_call))\s*+>", re.IGNORECASE)
_REPEATED_TOKEN = re.compile(r"(<\|[a-zA-Z_]{1,40}\|>)\1{3,}")


@dataclass(frozen=True)
class Chip:
    """One small label: a score, or why there is none."""

    name: str
    value: str
    state: str  # good, bad, plain, missing


@dataclass(frozen=True)
class Reply:
    """One attempt. `parts` are (kind, text), the kind think, answer, call, tag or plain; together they are the text."""

    step: int
    attempt: int
    parts: tuple[tuple[str, str], ...]
    chips: tuple[Chip, ...]
    verdict: str  # right, wrong, ungraded
    advantage: float | None
    tokens: str
    end_reason: str

    @property
    def gist(self) -> str:
        """One line for a list: what stands in the last answer tag, else how the reply ends."""
        answers = [text for kind, text in self.parts if kind == "answer"]
        text = " ".join(answers) if answers else "".join(text for _, text in self.parts)
        return " ".join(text[-200:].split()) or "(empty)"


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
    judged_by = "answer/score" if any("answer/score" in _dict(row, "scores") for _, row in pairs) else "reward"
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
        attempts = sorted(by_sample[sample], key=lambda row: _integer(row.get("attempt")))
        if cards and len(attempts) > room:
            break
        shown = attempts[:room]
        note = f"{len(shown)} of {len(attempts)} attempts shown. " if len(shown) < len(attempts) else ""
        note += "No spread: this group gave no gradient." if sample in flat and len(attempts) > 1 else ""
        judged_by = "answer/score" if any("answer/score" in _dict(row, "scores") for row in attempts) else "reward"
        boxes = [("reply", _text(row, "reply")) for row in shown]
        cards.append(_card(run_dir, "", shown, judged_by, boxes, note))
        room -= len(shown)
    return cards, len(by_sample), len(flat)


def _known_rewards(rows: Iterable[Row]) -> set[float]:
    """The different rewards of a group; a missing one is none of them."""
    return {reward for row in rows if (reward := _number(row.get("reward"))) is not None}


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
        return _card(run_dir, outcome, [after], judged_by, [("reply", _text(after, "reply"))])
    texts = [("before", _text(before, "reply")), ("after", _text(after, "reply"))]
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
    truth, truth_for_model = _text(row, "ground_truth"), _text(row, "truth_in_model_frame")
    question = shorten(_text(row, "question"), PROMPT_CHARACTERS)
    options = {str(key)[:20]: shorten(str(text), 300) for key, text in list(_dict(row, "options").items())[:26]}
    spelt_out = all(text in question for text in options.values())
    return Card(
        sample_id=shorten(_text(row, "sample_id"), LABEL_CHARACTERS),
        data_source=shorten(_text(row, "data_source"), LABEL_CHARACTERS),
        kind=shorten(_text(row, "kind") or "other", 40),
        outcome=outcome,
        question=question,
        options=() if spelt_out else tuple(options.items()),
        truth=shorten(truth, LABEL_CHARACTERS),
        truth_option=options.get(truth, ""),
        truth_for_model=shorten(truth_for_model, LABEL_CHARACTERS) if truth_for_model != truth else "",
        prompt=shorten(_REPEATED_TOKEN.sub(_counted, _text(row, "prompt")[:200_000]), PROMPT_CHARACTERS),
        pictures=pictures(run_dir, row, [("truth", truth_for_model or truth), *box_texts]),
        replies=tuple(_reply(attempt, judged_by) for attempt in rows),
        note=note,
    )


def _reply(row: Row, judged_by: str) -> Reply:
    return Reply(
        step=_step(row),
        attempt=_integer(row.get("attempt")),
        parts=tuple(_shorten_parts(reply_parts(_text(row, "reply")), REPLY_CHARACTERS)),
        chips=tuple(_chips(row, judged_by)),
        verdict=_verdict(row, judged_by),
        advantage=_number(row.get("advantage")),
        tokens=number_text(_number(row.get("tokens"))),
        end_reason=shorten(_text(row, "end_reason") or "unknown", 60),
    )


def reply_parts(reply: str) -> list[tuple[str, str]]:
    """Cut a reply into (kind, text) without losing a character: think, answer, call, tag, plain.

    As the grader reads it: an `<answer>` inside the reasoning is reasoning, one that is never closed goes to the end,
    and a closing tag without its opening one, which the prompt may have written, closes what stands before it.

    >>> reply_parts("<think>A?</think><answer>B</answer>")[1::3]
    [('think', 'A?'), ('answer', 'B')]
    """
    pieces: list[tuple[str, str, str]] = []  # (name of the tag or "", "/" when it closes, text)
    end = 0
    for tag in _TAG.finditer(reply):
        pieces += [("", "", reply[end : tag.start()]), (tag["name"].lower(), tag["close"], tag[0])]
        end = tag.end()
    pieces.append(("", "", reply[end:]))
    kinds = ["tag" if name else "plain" for name, _, _ in pieces]
    for kind, name in (("think", "think"), ("answer", "answer"), ("call", "tool_call")):
        for index in _enclosed(pieces, kinds, name):
            if kind == "think" or kinds[index] == "plain":  # the grader drops a tag inside an answer
                kinds[index] = kind
    return [(kind, text) for kind, (_, _, text) in zip(kinds, pieces) if text]


def _enclosed(pieces: Sequence[tuple[str, str, str]], kinds: Sequence[str], name: str) -> set[int]:
    """The pieces between tags of this name, among those not yet taken by an earlier name."""
    free = [index for index, kind in enumerate(kinds) if kind in ("plain", "tag")]
    tags = [index for index in free if pieces[index][0] == name]
    inside: set[int] = set()
    opened: int | None = None
    for index in tags:
        if not pieces[index][1]:
            opened = index if opened is None else opened
        elif opened is not None:
            inside.update(other for other in free if opened < other < index)
            opened = None
        elif name == "think":  # a stray close: all before it was reasoning
            inside.update(other for other in free if other < index)
    if opened is not None:
        inside.update(other for other in free if other > opened)
    if name == "answer" and tags and all(pieces[index][1] for index in tags):
        inside.update(other for other in free if other < tags[-1])
    return inside


def _shorten_parts(parts: Sequence[tuple[str, str]], characters: int) -> list[tuple[str, str]]:
    """The parts, or their first two thirds and last third of `characters` with a note of what is left out between."""
    total = sum(len(text) for _, text in parts)
    if total <= characters:
        return list(parts)
    head, tail = characters * 2 // 3, characters - characters * 2 // 3
    front, back, start = [], [], 0
    for kind, text in parts:
        stop = start + len(text)
        front.append((kind, text[: max(head - start, 0)]))
        back.append((kind, text[max(total - tail - start, 0) :] if stop > total - tail else ""))
        start = stop
    note = ("left-out", f" … {total - characters:,} characters left out … ")
    return [part for part in [*front, note, *back] if part[1]]


def shorten(text: str, characters: int) -> str:
    """The text, or its beginning and its end (where an answer stands) with the number of characters left out between.

    >>> shorten("a" * 50 + "B", 6)
    'aaaa … 45 characters left out … aB'
    """
    if len(text) <= characters:
        return text
    head = characters * 2 // 3
    tail = characters - head
    return f"{text[:head]} … {len(text) - characters:,} characters left out … {text[-tail:]}"


def _chips(row: Row, judged_by: str) -> Iterable[Chip]:
    """The reward, then the scores it was made of; a missing one says why."""
    missing = _dict(row, "missing")
    reward = _number(row.get("reward"))
    verdict = _verdict(row, judged_by)
    if reward is not None:
        state = {"right": "good", "wrong": "bad"}.get(verdict, "plain")
        yield Chip("reward", number_text(reward), state)
    else:
        yield Chip("reward", "missing" if missing else "missing: no reason recorded", "missing")
    for name, reason in list(missing.items())[:12]:
        yield Chip(shorten(str(name), 60), f"missing: {shorten(str(reason), 300)}", "missing")
    for name, value in list(_dict(row, "scores").items())[:12]:
        if str(name).split("/")[0] not in missing:
            yield Chip(shorten(str(name).removesuffix("/score"), 60), number_text(_number(value)), "plain")


def _outcome(before: Row, after: Row, judged_by: str) -> str:
    verdicts = (_verdict(before, judged_by), _verdict(after, judged_by))
    if "ungraded" in verdicts:
        return "not graded"
    return {
        ("wrong", "right"): "improved",
        ("wrong", "wrong"): "still wrong",
        ("right", "wrong"): "worsened",
        ("right", "right"): "still right",
    }[verdicts]


def _verdict(row: Row, judged_by: str) -> str:
    value = row.get("reward") if judged_by == "reward" else _dict(row, "scores").get(judged_by)
    number = _number(value)
    if number is None or judged_by.split("/")[0] in _dict(row, "missing"):
        return "ungraded"
    return "right" if number >= RIGHT else "wrong"


def _attempt_key(row: Row) -> tuple[str, int]:
    return str(row.get("sample_id")), _integer(row.get("attempt"))


def _counted(match: re.Match[str]) -> str:
    """A run of one special token, as `<|image_pad|> × 256`."""
    return f"{match[1]} × {len(match[0]) // len(match[1])} "


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else "" if value is None else str(value)


def _dict(row: Row, name: str) -> dict[str, Any]:
    value = row.get(name)
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _integer(value: Any) -> int:
    number = _number(value)
    return 0 if number is None else int(number)


def _step(row: Row) -> int:
    return _integer(row.get("step"))
