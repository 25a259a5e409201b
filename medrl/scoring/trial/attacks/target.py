"""What an attack is given (a Target), what it makes of it (Hostile replies), and how both are described."""

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from medrl.dialogue.answers import answer_regions
from medrl.scoring.trial.examples import THOUGHT, Example

# kinds with one answer, with a set of answers, and with pixels
EXACT = frozenset({"choice", "yes_no", "open_short", "count", "number_with_unit", "box"})
SETS = frozenset({"multi_choice", "boxes", "points"})
OPTIONS = frozenset({"choice", "multi_choice"})
WORDS = frozenset({"choice", "yes_no", "open_short"})
NUMBERS = frozenset({"count", "number_with_unit"})


@dataclass(frozen=True)
class Hostile:
    """A hostile reply and the honest one it must not beat: by default the target's wrong one.

    `actions`: what the environment is to have confirmed, for rewards of several turns; by default nothing.
    """

    reply: str
    instead: str | None = None
    actions: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Target:
    """A question as the model sees it. `candidates`: answers, one of them right, in an order that does not tell which."""

    kind: str
    question: str
    options: dict[str, str]
    size_px: tuple[int, int]
    candidates: tuple[str, ...]
    wrong: str  # an honest wrong reply
    wrong_answer: str
    before: str  # the honest form: what stands before and after the answer
    after: str
    abstaining: str | None = None  # the reply that declines, where the reward gives something for that

    def stated(self, answer: str) -> str:
        """The honest reply that gives this answer."""
        return f"{self.before}{answer}{self.after}"

    def others(self) -> list[str]:
        """The candidates that the honest wrong reply does not give."""
        return [one for one in self.candidates if one != self.wrong_answer]

    def pairs(self) -> list[tuple[str, str]]:
        """Every two candidates, in both orders."""
        return [(one, other) for one in self.candidates for other in self.candidates if one != other]

    def each(self, make: Callable[[str], str]) -> Iterable[Hostile]:
        """What `make` makes of the honest reply of every answer, which it must not beat: for decoration of all sorts."""
        for answer in dict.fromkeys((self.wrong_answer, *self.candidates)):
            honest = self.stated(answer)
            yield Hostile(make(honest), honest)


@dataclass(frozen=True)
class Attack:
    """`make` gives the hostile replies to a target; its docstring says what they try.

    `kinds`: the questions it is made for, None for all. `blind`: its reply may be an honest answer that happens to earn
    something, such as the whole picture as a box; it is compared with what guessing earns on average.
    """

    make: Callable[[Target], Iterable[Hostile]]
    kinds: frozenset[str] | None = None
    blind: bool = False

    @property
    def name(self) -> str:
        return self.make.__name__.replace("_", " ")

    @property
    def idea(self) -> str:
        return (self.make.__doc__ or "").strip()

    def applies(self, kind: str) -> bool:
        return self.kinds is None or kind in self.kinds


def target_of(example: Example, seed: int = 0) -> Target:
    """What a model would know of the example's row; the order of the candidates is drawn by `seed`."""
    right, wrong = _answer_in(example.right), _answer_in(example.wrong)
    options = _options(example.extra_info.get("options"))
    candidates = [*options] if example.kind == "choice" and options else [right, wrong]
    random.Random(seed).shuffle(candidates)
    quoted = example.wrong.rfind(f'"{wrong}"')  # inside JSON the whole value is the answer
    start = (quoted + 1 if quoted >= 0 else example.wrong.rfind(wrong)) if wrong else -1
    before, after = (
        (example.wrong[:start], example.wrong[start + len(wrong) :])
        if start >= 0
        else (f"<think>{THOUGHT}</think><answer>", "</answer>")
    )
    size = example.extra_info.get("image_size") or (640, 480)
    return Target(
        example.kind, example.question or "What does the picture show?", options, (int(size[0]), int(size[1])),
        tuple(dict.fromkeys(filter(None, candidates))), example.wrong, wrong, before, after,
        example.abstain,
    )  # fmt: skip


def guesses(target: Target) -> list[str]:
    """Plain answers of someone who has not looked, from small to large, all over the picture; the measure of blind attacks."""
    if target.kind == "multi_choice":
        letters = list(target.options)
        return [*letters, *(f"{one}, {other}" for place, one in enumerate(letters) for other in letters[place + 1 :])]
    cells = [cell for parts in (2, 3, 4) for cell in grid(target.size_px, parts)]
    if target.kind == "box":
        return [json.dumps(cell) for cell in cells]
    if target.kind == "boxes":
        return [json.dumps([cell]) for cell in cells]
    if target.kind == "points":
        return [json.dumps([[(cell[0] + cell[2]) // 2, (cell[1] + cell[3]) // 2]]) for cell in cells]
    return list(target.candidates)


def grid(size_px: tuple[int, int], parts: int) -> list[list[int]]:
    """The picture cut into parts x parts boxes, in whole pixels."""
    width, height = size_px
    return [
        [column * width // parts, row * height // parts, (column + 1) * width // parts, (row + 1) * height // parts]
        for row in range(parts)
        for column in range(parts)
    ]


def _answer_in(reply: str) -> str:
    """What the reply answers, as text; of a JSON object the value of its key `answer`."""
    regions = answer_regions(reply)
    region = regions[-1].strip() if regions else ""
    try:
        found = json.loads(region)
    except ValueError:
        return region
    return found["answer"] if isinstance(found, dict) and isinstance(found.get("answer"), str) else region


def _options(given: Any) -> dict[str, str]:
    options = json.loads(given) if isinstance(given, str) else given or {}
    return {str(letter): str(text) for letter, text in dict(options).items() if text is not None}
