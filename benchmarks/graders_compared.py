"""Published graders beside medrl's own rewards: wrong replies accepted, right ones rejected, attacks that win.

    python benchmarks/graders_compared.py replies.jsonl

Prints two tables, per kind of question and grader, and as the last line one JSON object. Its `ratio` is the share of
wrong verdicts of medrl's rewards over that of the published ones on the same replies.
"""

import argparse
import importlib.util
import json
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import medrl
from medrl.scoring.trial.attack import attack_all
from medrl.scoring.trial.caged import here
from medrl.scoring.trial.examples import FORMS, built_in_rows, example_from

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # the other benchmarks, however this file is started
from grading import KINDS, REWARDS, score  # noqa: E402
from published_graders import OF_KIND, Extra, Graded, qoq_med  # noqa: E402


def disagreements(grade: Callable[..., Graded], rows: Sequence[dict[str, Any]], exact: bool) -> dict[str, int]:
    """Over labelled rows: wrong ones accepted, right ones rejected, and replies the grader raises on.

    With `exact` a reply is right when its label says 1, else (overlaps, sets) from 0.5 on; the grader likewise.
    """
    counts = {"n": len(rows), "false_accepts": 0, "false_rejects": 0, "raised": 0}
    for row in rows:
        given = {key: row[key] for key in ("options", "image_size") if row.get(key) is not None}
        right = row["label"]["correct"] > 0.999 if exact else row["label"]["correct"] >= 0.5
        try:
            graded = grade("grading", row["reply"], row["ground_truth"], given)
        except Exception:  # the boundary: what a published grader raises ends a run or becomes a 0 there
            counts["raised"] += 1
            continue
        value = graded.get("accuracy", graded["score"])
        accepted = value > 0.999 if exact else value >= 0.5
        counts["false_accepts"] += accepted and not right
        counts["false_rejects"] += right and not accepted
    return counts


def table(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, int]]]:
    """`disagreements` per kind and grader; medrl's own reward, where it has one, under the name `medrl`."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for kind, graders in OF_KIND.items():
        of_kind = [row for row in rows if row["kind"] == kind]
        exact = kind not in ("box", "boxes", "points")
        named = {grader.__name__: grader for grader in graders} | ({"medrl": ours(kind)} if kind in KINDS else {})
        if of_kind:
            found[kind] = {name: disagreements(grader, of_kind, exact) for name, grader in named.items()}
    return found


def won(kind: str, grader: Callable[..., Graded]) -> list[str] | None:
    """The attacks that beat a grader on medrl's built-in row of a kind; None where it takes right and wrong for the same."""
    row = next(row for row in built_in_rows() if row[0] == kind)
    example = example_from(*row, FORMS[2] if grader is qoq_med else FORMS[0])
    assert example is not None
    right, wrong = here(grader)([example.call(example.right), example.call(example.wrong)])
    if right.score is None or wrong.score is None or right.score <= wrong.score:
        return None
    return sorted(one.attack for one in attack_all(here(grader), [example]) if one.verdict != "held")


def all_won() -> dict[str, dict[str, list[str] | None]]:
    """`won` per kind and grader, medrl's own reward last."""
    found: dict[str, dict[str, list[str] | None]] = {}
    for kind, graders in OF_KIND.items():
        found[kind] = {grader.__name__: won(kind, grader) for grader in graders}
        if (REWARDS / f"{kind}.py").is_file():
            found[kind]["medrl"] = won(kind, _reward_file(kind))
    return found


def ours(kind: str) -> Callable[..., Graded]:
    """`score` of benchmarks/grading.py in verl's signature."""

    def graded(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
        known = {key: (extra_info or {}).get(key) for key in ("options", "image_size")}
        return {"score": score(kind, solution_str, ground_truth, **known)["score"]}

    return graded


def main() -> None:
    """Print what `table` finds in the file named on the command line, and what `all_won` does."""
    parser = argparse.ArgumentParser(
        description="Published graders beside medrl's own on labelled replies and attacks."
    )
    parser.add_argument("replies", type=Path, help="JSON lines: kind, reply, ground_truth, options, image_size, label")
    path = parser.parse_args().replies
    # not splitlines(): a reply may hold U+2028, which JSON writes as it is
    lines = path.read_text(encoding="utf-8").split("\n")
    found, beaten = table([json.loads(line) for line in lines if line.strip()]), all_won()
    print(f"{'kind':18}{'grader':28}{'n':>5}{'accepts wrong':>15}{'rejects right':>15}{'raises':>8}{'attacks won':>15}")
    for kind, graders in beaten.items():
        for name, attacks in graders.items():
            counts = found.get(kind, {}).get(name)
            numbers = (
                f"{counts['n']:5}{counts['false_accepts']:15}{counts['false_rejects']:15}{counts['raised']:8}"
                if counts
                else " " * 43
            )
            print(f"{kind:18}{name:28}{numbers}{'  right = wrong' if attacks is None else len(attacks):>15}")
    for kind, graders in beaten.items():
        for name, attacks in graders.items():
            if attacks:
                print(f"{kind}: {name}: {', '.join(attacks)}")
    versions = {"medrl": medrl.__version__, "python": platform.python_version(), "replies": path.name}
    print(json.dumps({"ratio": _ratio(found), "replies": found, "attacks": beaten, "versions": versions}))


def _ratio(found: dict[str, dict[str, dict[str, int]]]) -> float | None:
    wrong, n = {True: 0, False: 0}, {True: 0, False: 0}
    for graders in found.values():
        for name, counts in graders.items():
            is_ours = name == "medrl"
            wrong[is_ours] += counts["false_accepts"] + counts["false_rejects"] + counts["raised"]
            n[is_ours] += counts["n"]
    return (wrong[True] / n[True]) / (wrong[False] / n[False]) if n[True] and wrong[False] else None


def _reward_file(kind: str) -> Callable[..., Graded]:
    spec = importlib.util.spec_from_file_location(f"compared_{kind}", REWARDS / f"{kind}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.compute_score


if __name__ == "__main__":
    main()
