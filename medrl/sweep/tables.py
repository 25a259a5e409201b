"""The facts of a sweep as tables: markdown that also reads in a terminal, CSV for a spreadsheet, LaTeX for the paper."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from medrl.record.charts import number_text
from medrl.record.headline import duration_text
from medrl.sweep.outcomes import COSTS, KNOWN, value_text
from medrl.sweep.words import best_point, certain, difference_text, headline, notes, p_text, states_text, with_interval

TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    c: f"\\{c}" for c in "&%$#_{}"
}
TEX |= {"−": "$-$", "–": "--", "<": "$<$", ">": "$>$", "|": "$|$", '"': "''"}
CONTROL = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]+")
TAG = re.compile(r"<(?=[A-Za-z/!?])")  # `p < 0.001` stays as it is
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would compute a cell that begins so


def columns(facts: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Heading and cells of the table for people, one cell for each point; a column that nobody fills is left out."""
    points = facts["points"]
    found = [
        ("setting", [f"{p['point']} (baseline)" if p["point"] == facts["baseline"] else p["point"] for p in points]),
        ("seeds", [states_text(point) for point in points]),
        (facts["metric"], [with_interval(point) for point in points]),
        ("difference", [difference_text(point) for point in points]),
        ("p (Holm)", [p_text(point, "").strip() for point in points]),
        ("gain", [_plus(point["gain"]) for point in points]),
        ("greedy", [_three(point["greedy_reward"]) for point in points]),
        ("readable", [_percent(point["parse_rate"]) for point in points]),
        ("length", [number_text(point["length"]) for point in points]),
        ("cut off", [_percent(point["truncated"]) for point in points]),
        ("first", [_percent(point["standing"]["first"]) if point["standing"] else "–" for point in points]),
        ("time", [duration_text(p["seconds"]) if p["seconds"] is not None else "–" for p in points]),
        ("alarms", [", ".join(f"{name} ({n})" for name, n in point["alarms"].items()) or "–" for point in points]),
    ]
    return [
        (name, cells) for name, cells in found if name in ("setting", "seeds", facts["metric"]) or set(cells) != {"–"}
    ]


def markdown(facts: Mapping[str, Any]) -> str:
    """The table with the runs that are not done and the notes below it."""
    table = [(name, [_cell(cell) for cell in cells]) for name, cells in columns(facts)]
    widths = [max(len(_cell(name)), *(len(cell) for cell in cells)) for name, cells in table]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if not place else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths))
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|" + "|".join("-" * (width + 1) + ("-" if not place else ":") for place, width in enumerate(widths)) + "|"
    rows = [line(row) for row in zip(*(cells for _, cells in table))]
    parts = [
        f"# {_cell(facts['name'])}",
        "",
        _cell(headline(facts)),
        "",
        line([_cell(name) for name, _ in table]),
        rule,
        *rows,
    ]
    undone = [one for one in facts["outcomes"] if one["status"] != "done"]
    if undone:
        parts += ["", "Not done:", ""]
        parts += [f"- {_cell(_undone(one))}" for one in undone]
    parts += ["", *(f"- {_cell(note)}" for note in [*notes(facts), *not_compared(facts), *facts["problems"]])]
    return "\n".join(parts) + "\n"


def _undone(one: Mapping[str, Any]) -> str:
    return f"{one['name']}: {one['status']}" + (f": {one['reason']}" if one["reason"] else "")


def not_compared(facts: Mapping[str, Any]) -> list[str]:
    """Why points with completed runs have no difference; what of these runs, or of their questions, lacks the metric."""
    said = []
    for point in facts["points"]:
        done = point["states"].get("done", 0)
        if point["not_compared"] and done:
            said.append(f"{point['point']} has no difference: {point['not_compared']}.".replace("..", "."))
        if left_out := (point["difference"] or {}).get("left_out"):
            said.append(
                f"{point['point']}: {left_out} question{'' if left_out == 1 else 's'} without a value in some run left out"
                f" of its difference, which is over the other {point['difference']['n']}."
            )
        if lacking := done - point["seeds"]:
            said.append(f"{point['point']}: {lacking} of {done} runs that are done did not record {facts['metric']}.")
    return said


def points_csv(facts: Mapping[str, Any]) -> str:
    """One row for each point, numbers unrounded."""
    keys = list(dict.fromkeys(key for point in facts["points"] for key in point["set"]))
    difference = ("mean", "low", "high", "p", "p_holm", "n", "seeds", "bootstrap_low", "bootstrap_high")
    head = ["point", "baseline", *keys, "metric", "runs", "seeds_done", "mean", "low", "high", "interval_over"]
    head += [f"difference_{name}" for name in difference] + [
        "first_share",
        "mean_rank",
        "gain",
        *KNOWN,
        *COSTS,
        "alarms",
    ]
    rows = []
    for point in facts["points"]:
        found, standing = point["difference"] or {}, point["standing"] or {}
        row = [point["point"], point["point"] == facts["baseline"], *(_setting(point["set"], key) for key in keys)]
        row += [facts["metric"], *(point[name] for name in ("runs", "seeds", "mean", "low", "high", "interval_over"))]
        row += [
            *(found.get(name) for name in difference),
            standing.get("first"),
            standing.get("mean_rank"),
            point["gain"],
        ]
        rows.append([*row, *(point[name] for name in (*KNOWN, *COSTS)), " ".join(point["alarms"])])
    return _csv(head, rows)


def runs_csv(facts: Mapping[str, Any]) -> str:
    """One row for each run, whatever became of it."""
    keys = list(dict.fromkeys(key for one in facts["outcomes"] for key in one["set"] if key != "seed"))
    plain = ("status", "reason", "step", "value", "first", "questions", *KNOWN, *COSTS)
    head = ["run", "point", "seed", *keys, "metric", *plain, "alarms", "hash"]
    rows = []
    for one in facts["outcomes"]:
        row = [one["name"], one["point"], one["seed"], *(_setting(one["set"], key) for key in keys), facts["metric"]]
        rows.append([*row, *(one[name] for name in plain), " ".join(one["alarms"]), one["hash"]])
    return _csv(head, rows)


def latex(facts: Mapping[str, Any]) -> str:
    """A booktabs table; the best mean is bold only where its difference to the baseline is certain. Below it, as comments:
    the runs that are not done, the notes, and what has no difference and why."""
    best = best_point(facts)
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{tabular}{lrlll}",
        "\\toprule",
        f"Setting & Seeds & {tex(facts['metric'])} (95\\,\\%) & Difference (95\\,\\%) & $p$ (Holm) \\\\",
        "\\midrule",
    ]
    for point in facts["points"]:
        value = tex(with_interval(point))
        if best is not None and point is best and certain(best):
            value = f"\\textbf{{{value}}}"
        name = tex(point["point"]) + (" (baseline)" if point["point"] == facts["baseline"] else "")
        cells = [name, tex(states_text(point)), value, tex(difference_text(point)), tex(p_text(point, "").strip())]
        lines.append(f"{{}}{' & '.join(cells)} \\\\")  # {}: a cell that begins with [ would be the length after \\
    below = [_undone(one) for one in facts["outcomes"] if one["status"] != "done"]
    below = [f"not done: {one}" for one in below] + [*notes(facts), *not_compared(facts), *facts["problems"]]
    lines += ["\\bottomrule", "\\end{tabular}", *(f"% {CONTROL.sub(' ', note)}" for note in below)]
    return "\n".join(lines) + "\n"


def tex(text: str) -> str:
    r"""Text that LaTeX prints as it stands.

    >>> print(tex("lr_rate=50%"))
    lr\_rate=50\%
    """
    return "".join(TEX.get(character, character) for character in CONTROL.sub(" ", text))


def _csv(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_safe(name) for name in head])
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return text.getvalue()


def _safe(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _setting(settings: Mapping[str, Any], key: str) -> int | float | str | None:
    """Numbers stay numbers, so that a negative one is not taken for a formula."""
    if key not in settings:
        return None
    value = settings[key]
    return value if isinstance(value, int | float) and not isinstance(value, bool) else value_text(value)


def _cell(text: str) -> str:
    """On one line, and without what would end a cell or begin a tag."""
    return TAG.sub("&lt;", CONTROL.sub(" ", text).replace("|", "\\|").replace("`", "'")).strip()


def _plus(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"
