"""Rows to try a reward on, each with a right and an honest wrong reply: the file's own EXAMPLE, or one of every kind.

A kind's honest replies can be phrased for any row of it, so a recipe's own data can be tried as well.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medrl.errors import MedrlError
from medrl.scoring.trial.caged import Call, Outcome

THOUGHT = "I look at the whole picture first, then at the region in question."
FORMS = (f"<think>{THOUGHT}</think><answer>%s</answer>", "<answer>%s</answer>", "\\boxed{%s}", "%s")
DATA_SOURCE = "example"


@dataclass(frozen=True)
class Example:
    """One row and two honest replies to it. `kind` is "" where the row does not say."""

    kind: str
    ground_truth: Any
    extra_info: dict[str, Any]
    right: str
    wrong: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    question: str = ""
    abstain: str | None = None  # a reply that declines to answer, where that is meant to earn something

    def call(self, reply: str, record: dict[str, Any] | None = None) -> dict[str, Any]:
        """verl's four arguments. `record` takes the place of the episode in `extra_info["rollout"]`."""
        extra_info = self.extra_info if record is None else {**self.extra_info, "rollout": record}
        return {
            "data_source": DATA_SOURCE,
            "solution_str": reply,
            "ground_truth": self.ground_truth,
            "extra_info": extra_info,
        }

    def group(self, reply: str, record: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """A group of four attempts: this reply, a right one and two wrong ones."""
        return [self.call(reply, record), *(self.call(other) for other in (self.right, self.wrong, self.wrong))]


def example_of(given: Any, place: object) -> Example:
    """The constant EXAMPLE of a reward file, checked. MedrlError says which key is missing or of the wrong type."""
    needed = {"ground_truth": object, "extra_info": Mapping, "right": str, "wrong": str}
    faults = ["it is no dict"] if not isinstance(given, Mapping) else []
    if not faults:
        faults = [f"no {key!r}" for key in needed if key not in given]
        faults += [f"{key!r} is a {type(given[key]).__name__}" for key, kind in needed.items()
                   if key in given and not isinstance(given[key], kind)]  # fmt: skip
    if faults:
        raise MedrlError(
            f"{place}: EXAMPLE is of no use: {', '.join(faults)}. Expected "
            '{"ground_truth": …, "extra_info": {"kind": …}, "right": reply, "wrong": an honest wrong reply}.'
        )
    extra = dict(given["extra_info"])
    return Example(
        str(extra.get("kind", "")), given["ground_truth"], extra, given["right"], given["wrong"],
        dict(given.get("kwargs") or {}), str(extra.get("question", "")),
        given.get("abstain"),
    )  # fmt: skip


def built_in_rows() -> list[tuple[str, Any, dict[str, Any]]]:
    """(kind, ground truth, extra_info) of one row of every kind, in the form in which training gives them."""
    stains = {"A": "Giemsa", "B": "PAS", "C": "Gram", "D": "Ziehl-Neelsen"}
    lesions = {"A": "Drusen", "B": "Microaneurysm", "C": "Hard exudate", "D": "Cotton-wool spot"}
    size = {"image_size": [640, 480]}
    return [
        ("choice", "B", {"options": stains, "question": "Which stain was used for this smear?"}),
        ("multi_choice", '["A", "C"]', {"options": lesions, "question": "Which lesions are visible? Select all."}),
        ("yes_no", "no", {"question": "Is there evidence of a pneumothorax?"}),
        ("open_short", '["ground-glass opacity", "GGO"]', {"question": "Name the imaging sign shown."}),
        ("count", "5", {"question": "How many implants can you see?"}),
        ("number_with_unit", '{"value": 6.4, "unit": "cm", "rel_tol": 0.05}', {"question": "How long is the stent?"}),
        ("box", "[40, 60, 140, 160]", {**size, "question": "Locate the polyp (pixel box)."}),
        ("boxes", "[[5, 5, 55, 45], [300, 200, 380, 260], [500, 20, 570, 90]]", {**size, "question": "Box all."}),
        ("points", "[[30, 40], [90, 200], [400, 300]]", {**size, "question": "Point at each calcification."}),
    ]


def honest_answers(kind: str, ground_truth: Any, extra_info: Mapping[str, Any]) -> tuple[str, str] | None:
    """A right and a wrong answer to a row, as plain text; None for kinds whose answers cannot be phrased from the row.

    >>> honest_answers("choice", "B", {"options": {"A": "MRI", "B": "CT"}}), honest_answers("count", "5", {})
    (('B', 'A'), ('5', '7'))
    """
    phrase = _PHRASED.get(kind)
    return phrase(_plain(ground_truth), extra_info) if phrase else None


def example_from(
    kind: str, ground_truth: Any, extra_info: dict[str, Any], form: str, question: str = ""
) -> Example | None:
    """A row with its honest replies in the form `…%s…`; None where they cannot be phrased."""
    try:
        answers = honest_answers(kind, ground_truth, extra_info)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError):  # a row of another shape than its kind has
        return None
    if answers is None:
        return None
    right, wrong = (form.replace("%s", answer) for answer in answers)
    return Example(
        kind, ground_truth, {"kind": kind, **extra_info}, right, wrong, {}, question or extra_info.get("question", "")
    )


def fitting(run: Callable[[Iterable[Call]], list[Outcome]], of_group: bool) -> list[Example]:
    """Of the built-in rows those that the reward tells right from wrong, in the first form in which it does."""
    found: dict[str, Example] = {}
    tried = [example for form in FORMS for row in built_in_rows() if (example := example_from(*row, form)) is not None]
    calls = [
        (example.group if of_group else example.call)(reply)
        for example in tried
        for reply in (example.right, example.wrong)
    ]
    outcomes = iter(run(calls))
    for example in tried:
        right, wrong = next(outcomes).score, next(outcomes).score
        if right is not None and wrong is not None and right > wrong:
            found.setdefault(example.kind, example)
    return list(found.values())


def _plain(ground_truth: Any) -> Any:
    """The value a ground truth in JSON stands for; a text that is none stays."""
    if isinstance(ground_truth, str) and ground_truth[:1] in "[{":
        try:
            return json.loads(ground_truth)
        except ValueError:
            return ground_truth
    return ground_truth


def _choice(truth: Any, extra: Mapping[str, Any]) -> tuple[str, str]:
    options = _options(extra)
    right = next(letter for letter in options if truth in (letter, options[letter]))
    return right, next(letter for letter in options if letter != right)


def _multi_choice(truth: Any, extra: Mapping[str, Any]) -> tuple[str, str]:
    options = list(_options(extra))
    right = truth if isinstance(truth, list) else str(truth).replace(",", " ").split()
    other = [letter for letter in options if letter not in right] or options[:1]
    return ", ".join(right), ", ".join(other)


def _options(extra: Mapping[str, Any]) -> dict[str, str]:
    given = extra["options"]
    options = json.loads(given) if isinstance(given, str) else given
    return {letter: str(text) for letter, text in options.items() if text is not None}


def _yes_no(truth: Any, extra: Mapping[str, Any]) -> tuple[str, str]:
    right = str(truth).strip().lower()
    return right, {"yes": "no", "no": "yes"}[right]


def _open_short(truth: Any, extra: Mapping[str, Any]) -> tuple[str, str]:
    right = str(truth[0] if isinstance(truth, list) else truth)
    return right, "rickets" if right.lower() != "rickets" else "scurvy"


def _count(truth: Any, extra: Mapping[str, Any]) -> tuple[str, str]:
    return str(truth), str(int(truth) + 2)


def _number(truth: Any, extra: Mapping[str, Any]) -> tuple[str, str]:
    return f"{truth['value']} {truth['unit']}", f"{_rounded(truth['value'] * 3 + 1)} {truth['unit']}"


def _box(truth: Any, extra: Mapping[str, Any]) -> tuple[str, str]:
    return json.dumps(list(truth)), json.dumps(_elsewhere(truth, extra))


def _boxes(truth: Any, extra: Mapping[str, Any]) -> tuple[str, str]:
    return json.dumps(list(map(list, truth))), json.dumps([_elsewhere(truth[0] if truth else (0, 0, 0, 0), extra)])


def _points(truth: Any, extra: Mapping[str, Any]) -> tuple[str, str]:
    width, height = extra["image_size"]
    x, y = truth[0] if truth else (0, 0)
    return json.dumps(list(map(list, truth))), json.dumps(
        [[_rounded((x + width / 2) % width), _rounded((y + height / 2) % height)]]
    )


def _elsewhere(box: Sequence[float], extra: Mapping[str, Any]) -> list[float]:
    """A box of another place: a quarter of the picture, in the corner farthest from the box."""
    width, height = extra["image_size"]
    left = 0 if (box[0] + box[2]) / 2 > width / 2 else width * 0.75
    top = 0 if (box[1] + box[3]) / 2 > height / 2 else height * 0.75
    return [_rounded(edge) for edge in (left, top, left + width / 4, top + height / 4)]


def _rounded(number: float) -> float:
    return int(number) if number == int(number) else round(number, 3)


_PHRASED: dict[str, Callable[[Any, Mapping[str, Any]], tuple[str, str]]] = {
    "choice": _choice,
    "multi_choice": _multi_choice,
    "yes_no": _yes_no,
    "open_short": _open_short,
    "count": _count,
    "number_with_unit": _number,
    "box": _box,
    "boxes": _boxes,
    "points": _points,
}
