"""One attempt of the model, ready for the page: its text in parts, its scores as chips, and whether it was right.

The parts follow the grader's reading, so what is marked as the answer is what was graded. A score that is missing shows
its reason and is neither right nor wrong. Rows come from files: a field of the wrong type is as good as absent.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medrl.record.charts import number_text

Row = Mapping[str, Any]

RIGHT = 0.5  # an answer scores at least so much when it counts as right; for boxes the usual overlap
REPLY_CHARACTERS = 3000
MAX_CHIPS = 12

# the grader's tags (dialogue/answer_region.py), and a tool call's
_TAG = re.compile(r"<\s*+(?P<close>/?+)\s*+(?P<name>(?a:think|answer|tool_call))\s*+>", re.IGNORECASE)


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


def view_reply(row: Row, judged_by: str) -> Reply:
    """The row of one attempt as the page shows it; `judged_by` names the score that decides whether it was right."""
    return Reply(
        step=integer_of(row.get("step")),
        attempt=integer_of(row.get("attempt")),
        parts=tuple(shorten_parts(reply_parts(conversation(row)), REPLY_CHARACTERS)),
        chips=tuple(_chips(row, judged_by)),
        verdict=verdict_of(row, judged_by),
        advantage=number_of(row.get("advantage")),
        tokens=number_text(number_of(row.get("tokens"))),
        end_reason=shorten(text_of(row, "end_reason") or "unknown", 60),
    )


def conversation(row: Row) -> str:
    """All that was said in an attempt: its one reply, or every turn with what the environment answered between them."""
    turns = row.get("turns")
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        return text_of(row, "reply")
    said = []
    for turn in turns:
        said.append(text_of(turn, "text"))
        seen = integer_of(turn.get("images"))
        if seen or turn.get("observation"):
            shown = f"{seen} picture{'s' if seen > 1 else ''}" if seen else ""
            said.append(f"[environment: {', '.join(filter(None, (shown, text_of(turn, 'observation'))))}]")
    return "\n".join(said)


def verdict_of(row: Row, judged_by: str) -> str:
    """right, wrong, or ungraded when the deciding score is missing."""
    value = row.get("reward") if judged_by == "reward" else dict_of(row, "scores").get(judged_by)
    number = number_of(value)
    if number is None or judged_by.split("/")[0] in dict_of(row, "missing"):
        return "ungraded"
    return "right" if number >= RIGHT else "wrong"


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


def text_of(row: Row, name: str) -> str:
    """The field as text; empty when it is absent or null."""
    value = row.get(name)
    return value if isinstance(value, str) else "" if value is None else str(value)


def dict_of(row: Row, name: str) -> dict[str, Any]:
    """The field when it is an object, else an empty one."""
    value = row.get(name)
    return value if isinstance(value, dict) else {}


def number_of(value: Any) -> float | None:
    """The value as a finite float; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def integer_of(value: Any) -> int:
    """The value as an integer; 0 for what is no number."""
    number = number_of(value)
    return 0 if number is None else int(number)


def _enclosed(pieces: Sequence[tuple[str, str, str]], kinds: Sequence[str], name: str) -> list[int]:
    """The pieces between tags of this name, among those not yet taken by an earlier name."""
    free = [index for index, kind in enumerate(kinds) if kind in ("plain", "tag")]
    inside: list[int] = []
    opened = stray = -1  # places in `free`: of the opening tag, of the last closing tag without one
    has_open = False
    for place, index in enumerate(free):
        if pieces[index][0] != name:
            continue
        if not pieces[index][1]:
            has_open = True
            opened = place if opened < 0 else opened
        elif opened >= 0:
            inside += free[opened + 1 : place]
            opened = -1
        else:
            stray = place
    if opened >= 0:
        inside += free[opened + 1 :]
    if name == "think" or not has_open:  # an answer's stray close means nothing beside a whole answer
        inside += free[: max(stray, 0)]
    return inside


def shorten_parts(parts: Sequence[tuple[str, str]], characters: int) -> list[tuple[str, str]]:
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


def _chips(row: Row, judged_by: str) -> Iterable[Chip]:
    """The reward, then the scores it was made of; a missing one says why."""
    missing = dict_of(row, "missing")
    reward = number_of(row.get("reward"))
    verdict = verdict_of(row, judged_by)
    if reward is not None:
        state = {"right": "good", "wrong": "bad"}.get(verdict, "plain")
        yield Chip("reward", number_text(reward), state)
    else:
        yield Chip("reward", "missing" if missing else "missing: no reason recorded", "missing")
    for name, reason in list(missing.items())[:MAX_CHIPS]:
        yield Chip(shorten(str(name), 60), f"missing: {shorten(str(reason), 300)}", "missing")
    for name, value in list(dict_of(row, "scores").items())[:MAX_CHIPS]:
        if str(name).split("/")[0] not in missing:
            yield Chip(shorten(str(name).removesuffix("/score"), 60), number_text(number_of(value)), "plain")
