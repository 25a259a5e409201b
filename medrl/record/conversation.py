"""One stored rollout as a conversation for the page: who said what, what was done, what was seen, what it was worth.

Nothing is read into a row: an action is done only where the environment confirmed it, a box is drawn only where its
pixels are recorded, contributions add up to the reward or are not shown. A field of the wrong type is as good as absent.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medrl.record.charts import number_text
from medrl.record.pictures import BOX_KINDS, Outline, outline_px, outlines, size_at
from medrl.record.replies import (
    Row,
    dict_of,
    integer_of,
    number_of,
    reply_parts,
    shorten,
    shorten_parts,
    text_of,
    verdict_of,
)  # fmt: skip
from medrl.rollout.confirmed import looks
from medrl.vision.boxes import box_area, iou, is_box

MAX_TURNS, MAX_SHOTS, MAX_ENTRIES = 40, 60, 24
NEAR_PER_CENT = 6  # of the picture's side: so near, two numbers would cover each other
LABEL_CHARACTERS, FACT_CHARACTERS = 60, 300
END_WORDS = {
    "eos": "the model ended its reply",
    "length": "no tokens were left",
    "turns": "the limit of turns was reached",
    "images": "the limit of pictures was reached",
    "done": "the environment ended the episode",
}

Find = Callable[[str], "str | None"]  # a kept picture's name -> data URI


@dataclass(frozen=True)
class Shot:
    """A picture an environment showed; `uri` None where it was not kept. `number`: as the model counts pictures, from 0."""

    number: int
    uri: str | None
    size: str


@dataclass(frozen=True)
class Act:
    """An action asked for. `state`: done, refused or not done; `number` is the label of its box, if it has one."""

    state: str
    name: str
    arguments: str
    reason: str
    facts: tuple[tuple[str, str], ...]
    number: int | None


@dataclass(frozen=True)
class TurnView:
    """What the model said and what came back, with the tokens of either."""

    number: int
    parts: tuple[tuple[str, str], ...]
    tokens: int
    act: Act | None
    answered: bool
    observation: str
    shots: tuple[Shot, ...]
    observation_tokens: int


@dataclass(frozen=True)
class Mark:
    """A box on one of the sample's pictures: an action's with its number and turn, or one of the final answer."""

    picture: int
    outline: Outline
    number: int | None = None
    turn: int | None = None
    shift: int = 0  # marks before it whose number stands in the same place


@dataclass(frozen=True)
class Component:
    """One reward: its score, or why there is none; what it adds to the sum where that is known."""

    name: str
    score: str
    weight: str
    adds: float | None
    missing: str


@dataclass(frozen=True)
class Attempt:
    """One rollout of a group. `filtered`: the group was left out, since no two attempts differed in accuracy."""

    id: str
    attempt: int
    verdict: str
    reward: float | None
    advantage: float | None
    components: tuple[Component, ...]
    entries: tuple[tuple[str, str], ...]
    turns: tuple[TurnView, ...]
    left_out_turns: int
    marks: tuple[Mark, ...]
    tokens: int
    own_tokens: int
    end: str
    end_words: str
    tool: tuple[str, ...]  # of done, refused, not done, none
    acts_done: int
    acts_refused: int
    filtered: bool

    @property
    def gist(self) -> str:
        """One line: what stands in the last answer tag, else how the last turn ends."""
        parts = self.turns[-1].parts if self.turns else ()
        answers = [text for kind, text in parts if kind == "answer"]
        text = " ".join(answers) if answers else "".join(text for _, text in parts)
        return " ".join(text[-200:].split()) or "(empty)"

    @property
    def adds_up(self) -> bool:
        """Whether the weighted components are known and make the reward."""
        parts = [component.adds for component in self.components]
        known = [part for part in parts if part is not None]
        return (
            self.reward is not None
            and bool(parts)
            and len(known) == len(parts)
            and math.isclose(math.fsum(known), self.reward, abs_tol=1e-4)
        )


def view_attempt(
    row: Row, place: str, judged_by: str, weights: Mapping[str, float], characters: int, find: Find
) -> Attempt:
    """The row as the page shows it. `characters`: kept of each text; `weights`: of the recipe's rewards, by name."""
    told = turns_of(row)
    turns, marks = _turns(row, told[:MAX_TURNS], characters, find)
    if row.get("kind") in BOX_KINDS:
        marks += [Mark(0, outline) for outline in outlines(row, [("reply", text_of(row, "reply"))])]
    states = [turn.act.state for turn in turns if turn.act]
    tokens = integer_of(row.get("tokens"))
    hidden = sum(turn.observation_tokens for turn in turns)
    end = shorten(text_of(row, "end_reason") or "unknown", LABEL_CHARACTERS)
    return Attempt(
        id=place,
        attempt=integer_of(row.get("attempt")),
        verdict=verdict_of(row, judged_by),
        reward=number_of(row.get("reward")),
        advantage=number_of(row.get("advantage")),
        components=tuple(_components(row, weights)),
        entries=tuple(_entries(row)),
        turns=tuple(turns),
        left_out_turns=len(told) - len(turns),
        marks=tuple(marks),
        tokens=tokens,
        own_tokens=max(tokens - hidden, 0),
        end=end,
        end_words=END_WORDS.get(end, ""),
        tool=tuple(dict.fromkeys(states)) or ("none",),
        acts_done=states.count("done"),
        acts_refused=states.count("refused"),
        filtered=row.get("filtered") is True,
    )


def turns_of(row: Row) -> list[Mapping[str, Any]]:
    """The turns a row recorded; its one reply where there was no environment."""
    turns = row.get("turns")
    if isinstance(turns, list) and turns and all(isinstance(turn, Mapping) for turn in turns):
        return turns
    return [{"text": text_of(row, "reply"), "tokens": [row.get("tokens"), 0]}]


def _turns(
    row: Row, told: Sequence[Mapping[str, Any]], characters: int, find: Find
) -> tuple[list[TurnView], list[Mark]]:
    kept = row.get("shown")
    kept = kept if isinstance(kept, list) else []
    own = row.get("image_sizes_px")
    pictures = len(own) if isinstance(own, list) else 0
    novel = _novel(row, told)
    turns: list[TurnView] = []
    marks: list[Mark] = []
    seen = 0
    for place, turn in enumerate(told):
        confirmed = dict_of(turn, "confirmed")
        mark = _mark(row, confirmed, marks, place + 1) if confirmed else None
        if mark:
            marks.append(mark)
        count = max(min(integer_of(turn.get("images")), MAX_SHOTS - seen), 0)
        shots = tuple(
            _shot(kept[index] if index < len(kept) else None, pictures + index, find)
            for index in range(seen, seen + count)
        )
        seen += count
        spoken = turn.get("tokens")
        lengths = [integer_of(n) for n in spoken[:2]] if isinstance(spoken, (list, tuple)) else []
        lengths += [0, 0]
        turns.append(
            TurnView(
                number=place + 1,
                parts=tuple(shorten_parts(reply_parts(text_of(turn, "text")), characters)),
                tokens=max(lengths[0], 0),
                act=_act(row, turn, novel.get(place, True), mark),
                answered=turn.get("observation") is not None or bool(shots),
                observation=shorten(text_of(turn, "observation"), characters),
                shots=shots,
                observation_tokens=max(lengths[1], 0),
            )
        )
    return turns, marks


def _act(row: Row, turn: Mapping[str, Any], novel: bool, mark: Mark | None) -> Act | None:
    asked, fault = turn.get("asked"), text_of(turn, "fault")
    confirmed = turn.get("confirmed")
    if not isinstance(asked, Mapping):
        return None
    done = isinstance(confirmed, Mapping)
    if done:
        state, reason = "done", ""
    elif turn.get("fault") is not None:
        state, reason = "refused", fault
    else:
        state, reason = "not done", END_WORDS.get(text_of(row, "end_reason"), "")
    arguments = asked.get("arguments")
    written = "" if arguments is None else json.dumps(arguments, ensure_ascii=False, default=str)
    return Act(
        state=state,
        name=shorten(text_of(asked, "name"), LABEL_CHARACTERS),
        arguments=shorten(written, FACT_CHARACTERS),
        reason=shorten(reason, FACT_CHARACTERS),
        facts=tuple(_facts(row, confirmed, novel)) if isinstance(confirmed, Mapping) else (),
        number=mark.number if mark else None,
    )


def _facts(row: Row, confirmed: Mapping[str, Any], novel: bool) -> Iterator[tuple[str, str]]:
    """What the environment says it did, the region first in pixels of the original and as a share of it."""
    box, source = _box(confirmed.get("box_px_original")), integer_of(confirmed.get("source"))
    if box is not None:
        left, top, right, bottom = (number_text(round(float(edge), 1)) for edge in box)
        yield "pixels", f"x {left}–{right}, y {top}–{bottom}"
        if size := size_at(row.get("image_sizes_px"), source) if source >= 0 else None:
            share = 100 * box_area(box) / (size[0] * size[1])
            yield "share of the picture", f"{share:.0f} %" if share >= 1 else "below 1 %"
        lesions = row.get("lesion_boxes")
        known = [lesion for lesion in lesions if _box(lesion)] if isinstance(lesions, list) and not source else []
        if known:
            yield "overlap with the lesion", f"IoU {max(iou(box, lesion) for lesion in known):.2f}"
    if not novel:
        yield "new", "no: seen before, or the whole picture"
    for name, value in list(confirmed.items())[:MAX_ENTRIES]:
        if name not in ("tool", "box_px_original") and not (name in ("source", "image") and not value):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            yield shorten(str(name).replace("_", " "), LABEL_CHARACTERS), shorten(text, FACT_CHARACTERS)


def _novel(row: Row, told: Sequence[Mapping[str, Any]]) -> dict[int, bool]:
    """By turn: whether what was confirmed shows something new, as the tool rewards count it."""
    actions: dict[int, dict[str, Any]] = {}
    for place, turn in enumerate(told):
        confirmed = dict_of(turn, "confirmed")
        if not confirmed:
            continue
        actions[place] = {**confirmed, "source": integer_of(confirmed.get("source"))}
        if not _box(confirmed.get("box_px_original")):
            actions[place].pop("box_px_original", None)
        brought = confirmed.get("documents")
        if not isinstance(brought, list) or not all(isinstance(one, (str, int)) for one in brought):
            actions[place].pop("documents", None)
    given = row.get("image_sizes_px")
    sizes = [size_at(given, index) or (0, 0) for index in range(len(given))] if isinstance(given, list) else []
    counted = looks({"actions": list(actions.values()), "image_sizes": sizes})
    return {place: any(action is one for one in counted) for place, action in actions.items()}


def _mark(row: Row, confirmed: Mapping[str, Any], before: Sequence[Mark], turn: int) -> Mark | None:
    box, source = _box(confirmed.get("box_px_original")), integer_of(confirmed.get("source"))
    size = size_at(row.get("image_sizes_px"), source) if source >= 0 else None
    if box is None or size is None:
        return None
    outline = outline_px("action", box, size)
    if outline is None:
        return None
    near = [mark for mark in before if mark.picture == source and _corners_meet(mark.outline, outline)]
    return Mark(source, outline, len(before) + 1, turn, len(near))


def _corners_meet(one: Outline, other: Outline) -> bool:
    return abs(one.x - other.x) < NEAR_PER_CENT and abs(one.y - other.y) < NEAR_PER_CENT


def _shot(kept: Any, number: int, find: Find) -> Shot:
    kept = kept if isinstance(kept, Mapping) else {}
    size = size_at([kept.get("size_px")])
    return Shot(number, find(text_of(kept, "name")), f"{size[0]} × {size[1]} px" if size else "")


def _components(row: Row, weights: Mapping[str, float]) -> Iterator[Component]:
    """Each reward once: those with a score, then those that are missing."""
    missing = {str(name): str(reason) for name, reason in dict_of(row, "missing").items()}
    scores = dict_of(row, "scores")
    names = [str(name).removesuffix("/score") for name in scores if str(name).endswith("/score")]
    for name in [*(name for name in names if name not in missing), *missing][:MAX_ENTRIES]:
        score, weight = number_of(scores.get(f"{name}/score")), weights.get(name)
        known = name not in missing
        adds = weight * score if known and weight is not None and score is not None else None
        yield Component(
            shorten(name, LABEL_CHARACTERS),
            number_text(score) if known else "missing",
            "" if weight is None else number_text(weight),
            adds,
            "" if known else shorten(missing[name], FACT_CHARACTERS),
        )


def _entries(row: Row) -> Iterator[tuple[str, str]]:
    """What rewards recorded beside their scores."""
    for name, value in list(dict_of(row, "scores").items())[:MAX_ENTRIES]:
        if not str(name).endswith("/score"):
            yield shorten(str(name), LABEL_CHARACTERS), number_text(number_of(value))


def _box(value: Any) -> Sequence[float] | None:
    """The value when it is a box, else None."""
    return value if isinstance(value, (list, tuple)) and is_box(value) else None
