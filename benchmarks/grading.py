"""Grade replies with the rewards that training uses, and measure how far they agree with labelled replies.

    python benchmarks/grading.py replies.jsonl

Each line holds `kind`, `reply`, `ground_truth`, `options`, `image_size` and `label {correct, answered, format_ok}`.
Prints a table per kind and, as the last line, one JSON object; its `ratio` is the share of lines that agree in full.
"""

import argparse
import importlib.util
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import medrl
from medrl.dialogue.answers import format_ok

REWARDS = Path(__file__).resolve().parent.parent / "rewards"
KINDS = ("choice", "yes_no", "count", "box", "boxes", "points")
SAME = 1e-6  # two scores that differ by less are the same
COLUMNS = ("n", "score", "answered", "format_ok", "all")


@dataclass
class Agreement:
    """How many labelled replies of a kind there are, and how many agree in each respect."""

    n: int = 0
    agree: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COLUMNS[1:], 0))
    differing: list[str] = field(default_factory=list)

    def add(self, name: str, checks: dict[str, bool]) -> None:
        """Count one reply; one that differs anywhere is remembered by name."""
        checks = {**checks, "all": all(checks.values())}
        self.n += 1
        for check, same in checks.items():
            self.agree[check] += same
        if not checks["all"]:
            self.differing.append(name)


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


def measure(rows: list[dict[str, Any]]) -> tuple[dict[str, Agreement], dict[str, int]]:
    """Agreement with the labels per kind, and the number of rows of kinds that have no reward yet."""
    measured: dict[str, Agreement] = {}
    skipped: dict[str, int] = {}
    for row in rows:
        kind = row["kind"]
        if kind not in KINDS:
            skipped[kind] = skipped.get(kind, 0) + 1
            continue
        graded = score(kind, row["reply"], row["ground_truth"], row.get("options"), row.get("image_size"))
        label = row["label"]
        checks = {"score": abs(graded["score"] - label["correct"]) < SAME}
        checks |= {name: graded[name] == label[name] for name in ("answered", "format_ok")}
        measured.setdefault(kind, Agreement()).add(row["id"], checks)
    return measured, skipped


def main() -> None:
    """Read the file named on the command line and print what `measure` finds in it."""
    parser = argparse.ArgumentParser(description="Agreement of the bundled rewards with labelled replies.")
    parser.add_argument("replies", type=Path, help="JSON lines: kind, reply, ground_truth, options, image_size, label")
    path = parser.parse_args().replies
    # not splitlines(): a reply may hold U+2028, which JSON writes as it is
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    measured, skipped = measure(rows)
    print(f"{'kind':12}" + "".join(f"{column:>11}" for column in COLUMNS))
    for kind, agreement in measured.items():
        print(f"{kind:12}{agreement.n:11}" + "".join(f"{count:11}" for count in agreement.agree.values()))
    for name in [name for agreement in measured.values() for name in agreement.differing]:
        print(f"differs: {name}")
    for kind, n in skipped.items():
        print(f"{kind:12}{n:11}  skipped: no reward yet")
    n = sum(agreement.n for agreement in measured.values())
    agree = sum(agreement.agree["all"] for agreement in measured.values())
    summary = {
        "ratio": agree / n if n else None,
        "n": n,
        "agree": agree,
        "kinds": {kind: {"n": found.n, **found.agree} for kind, found in measured.items()},
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
