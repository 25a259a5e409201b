"""Grade replies with the rewards that training uses, and measure how far they agree with labelled replies.

    python benchmarks/grading.py replies.jsonl

Each line holds `kind`, `reply`, `ground_truth`, `options`, `image_size` and `label {correct, answered, format_ok}`.
Prints a table per kind, with the time a reply takes, and as the last line one JSON object; its `ratio` is the share of
lines that agree in full.
"""

import argparse
import importlib.util
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import medrl
from medrl.dialogue.answers import format_ok

REWARDS = Path(__file__).resolve().parent.parent / "rewards"
KINDS = ("choice", "multi_choice", "yes_no", "open_short", "count", "box", "boxes", "points", "number_with_unit")
SAME = 1e-6  # two scores that differ by less are the same
COLUMNS = ("n", "score", "answered", "format_ok", "all")
LONG = 150_000  # characters of a hostile reply

Row = dict[str, Any]
Grader = Callable[..., dict[str, float | bool]]


@dataclass
class Agreement:
    """How many labelled replies of a kind there are, how many agree in each respect, and what grading them takes."""

    n: int = 0
    agree: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COLUMNS[1:], 0))
    differing: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, name: str, checks: dict[str, bool], seconds: float = 0.0) -> None:
        """Count one reply; one that differs anywhere is remembered by name."""
        checks = {**checks, "all": all(checks.values())}
        self.n += 1
        self.seconds.append(seconds)
        for check, same in checks.items():
            self.agree[check] += same
        if not checks["all"]:
            self.differing.append(name)

    @property
    def median_us(self) -> float:
        """Median time of a reply in microseconds."""
        return 1e6 * statistics.median(self.seconds)


def score(
    kind: str,
    reply: str,
    ground_truth: Any,
    options: dict[str, str] | None = None,
    image_size: list[int] | None = None,
) -> dict[str, float | bool]:
    """Grade one reply by the grading rules. No reply raises; an unknown kind (UnknownKind) or a faulty row (ValueError) does.

    >>> score("yes_no", "<think>clear</think><answer>No.</answer>", "no")
    {'score': 1.0, 'answered': True, 'format_ok': True}
    """
    given = {"options": options, "image_size": image_size}
    extra_info = {key: value for key, value in given.items() if value is not None}
    graded = _reward(kind)("grading", reply, ground_truth, extra_info)
    return {"score": graded["score"], "answered": bool(graded["answered"]), "format_ok": format_ok(reply)}


def measure(rows: list[Row], grade: Grader = score) -> tuple[dict[str, Agreement], dict[str, int]]:
    """Agreement of a grader with the labels per kind, and the number of rows of kinds that have no reward.

    `grade` has the signature of `score`: any other grader can be measured on the same rows.
    """
    measured: dict[str, Agreement] = {}
    skipped: dict[str, int] = {}
    for row in rows:
        kind = row["kind"]
        if kind not in KINDS:
            skipped[kind] = skipped.get(kind, 0) + 1
            continue
        started = time.perf_counter()
        graded = grade(kind, row["reply"], row["ground_truth"], row.get("options"), row.get("image_size"))
        seconds = time.perf_counter() - started
        label = row["label"]
        checks = {"score": abs(graded["score"] - label["correct"]) < SAME}
        checks |= {name: graded[name] == label[name] for name in ("answered", "format_ok")}
        measured.setdefault(kind, Agreement()).add(row["id"], checks, seconds)
    return measured, skipped


def hostile_replies(length: int) -> dict[str, str]:
    """Long replies that cost a quadratic reader minutes, by name: floods of one piece, bare and inside an answer tag."""
    pieces = {
        "words": "the image shows bone. ", "open tags": "<answer>", "blocks": "<answer>B</answer>", "think": "<think>",
        "less-than": "<", "round": "(", "square": "[", "braces": "{", "keys": '{"', "pairs": "[]", "digits": "7",
        "numbers": "1 ", "commas": "1,", "thousands": ",000", "marks": "\u0316\u0301", "ligatures": "\ufdfa",
        "backslashes": "\\", "boxed": "\\boxed{", "cues": "answer is B ", "breaks": "\n", "blanks": " ", "letters": "A, ",
        "words of a letter": "x(", "rejected": "not B ", "lengths": "5 mm ", "signs": "5±", "fences": "```", "dollars": "$",
        "quotes": '"', "dashes": "– ", "lead-ins": "the answer is ", "hedges": "of about the ", "capitals": "ABCD",
        "per": " per", "points": "[1,2],", "boxes": "[1,2,3,4] ", "emphasis": "*a", "accents": "é",
    }  # fmt: skip
    floods = {name: (piece * (length // len(piece) + 1))[:length] for name, piece in pieces.items()}
    return floods | {f"{name} in a block": f"<answer>{flood}</answer>" for name, flood in floods.items()}


def slowest(
    rows: list[Row], grade: Grader = score, length: int | None = None, tries: int = 2
) -> dict[str, tuple[float, str]]:
    """The longest time in seconds that any hostile reply takes, and its name, per kind (graded against its first row)."""
    replies = hostile_replies(length or LONG)
    first_rows = {row["kind"]: row for row in reversed(rows) if row["kind"] in KINDS}
    worst = {}
    for kind in [kind for kind in KINDS if kind in first_rows]:
        row = first_rows[kind]
        taken = []
        for name, reply in replies.items():
            seconds = []
            for _ in range(tries):  # the best of a few, as other programs run too
                started = time.thread_time()
                grade(kind, reply, row["ground_truth"], row.get("options"), row.get("image_size"))
                seconds.append(time.thread_time() - started)
                if seconds[-1] < 0.02:
                    break
            taken.append((min(seconds), name))
        worst[kind] = max(taken)
    return worst


def main() -> None:
    """Read the file named on the command line and print what `measure` and `slowest` find in it."""
    parser = argparse.ArgumentParser(description="Agreement of the bundled rewards with labelled replies.")
    parser.add_argument("replies", type=Path, help="JSON lines: kind, reply, ground_truth, options, image_size, label")
    path = parser.parse_args().replies
    # not splitlines(): a reply may hold U+2028, which JSON writes as it is
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    measure(rows)  # patterns are compiled and units loaded
    measured, skipped = measure(rows)
    worst = slowest(rows)
    columns = (*COLUMNS, "median us", "worst ms")
    print(f"{'kind':16}" + "".join(f"{column:>11}" for column in columns) + f"  worst of {LONG:,} characters")
    for kind, agreement in measured.items():
        seconds, name = worst[kind]
        counts = "".join(f"{count:11}" for count in (agreement.n, *agreement.agree.values()))
        print(f"{kind:16}{counts}{agreement.median_us:11.0f}{1e3 * seconds:11.1f}  {name}")
    for name in [name for agreement in measured.values() for name in agreement.differing]:
        print(f"differs: {name}")
    for kind, n in skipped.items():
        print(f"{kind:16}{n:11}  skipped: no reward yet")
    n = sum(agreement.n for agreement in measured.values())
    agree = sum(agreement.agree["all"] for agreement in measured.values())
    kinds = {
        kind: {
            "n": found.n,
            **found.agree,
            "median_us": round(found.median_us, 1),
            "worst_ms": round(1e3 * worst[kind][0], 1),
        }
        for kind, found in measured.items()
    }
    summary = {
        "ratio": agree / n if n else None,
        "n": n,
        "agree": agree,
        "median_us": round(1e6 * statistics.median(s for found in measured.values() for s in found.seconds), 1)
        if n
        else None,
        "worst_ms": max((kind["worst_ms"] for kind in kinds.values()), default=None),
        "kinds": kinds,
        "skipped": skipped,
        "versions": {"medrl": medrl.__version__, "python": platform.python_version(), "replies": path.name},
    }
    print(json.dumps(summary))


@cache
def _reward(kind: str) -> Callable[..., dict[str, float]]:
    """`compute_score` of the kind's reward file, loaded by path as a recipe would."""
    if kind not in KINDS:
        raise UnknownKind(f"no reward grades the kind {kind!r}. Known kinds: {', '.join(KINDS)}.")
    spec = importlib.util.spec_from_file_location(f"grading_{kind}", REWARDS / f"{kind}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.compute_score


class UnknownKind(KeyError):
    """A kind of question no bundled reward grades."""

    def __str__(self) -> str:  # KeyError would show the message in quotes
        return str(self.args[0])


if __name__ == "__main__":
    main()
