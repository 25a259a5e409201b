"""What the commands print: tables for people, one JSON object for scripts."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

console = Console(highlight=False)


def report_sft(summary: dict[str, Any], settings: Any, as_json: bool) -> None:
    """What became of `medrl sft`, and how GRPO goes on from it."""
    model = settings.run_dir / "checkpoints" / f"global_step_{summary['steps']}" / "model"
    if as_json:
        print(json.dumps({**summary, "run": str(settings.run_dir), "model": str(model) if model.is_dir() else None}))
        return
    console.print(f"{settings.run_dir}: {summary['status']} after {summary['steps']} steps, {summary['seconds']:.0f} s")
    if summary["reason"]:
        console.print(summary["reason"], markup=False)
    if model.is_dir():
        console.print(f"GRPO from here: medrl train RECIPE model.path={model} sft.steps=0", soft_wrap=True)


def report(summary: dict[str, Any], folder: Path, as_json: bool) -> None:
    """Held-out reward before and after, and where the report is."""
    if as_json:
        print(json.dumps({**summary, "run": str(folder)}))
        return
    table = Table(
        title=f"{folder.name}: {summary['status']} after {summary['steps']} steps, {summary['seconds']:.0f} s"
    )
    for heading in ("held-out", "reward", "95 % interval", "questions", "answers read", "greedy"):
        table.add_column(heading, justify="left" if heading == "held-out" else "right")
    for name, key in (("before GRPO", "val_first"), ("after GRPO", "val_last")):
        if value := summary.get(key):
            table.add_row(
                name,
                f"{value['reward']:.3f}",
                f"{value['low']:.3f} .. {value['high']:.3f}",
                str(value["n"]),
                "-" if value["parse_rate"] is None else f"{value['parse_rate']:.1%}",
                f"{value['metrics']['greedy_reward']:.3f}",
            )
    if (last := summary.get("val_last")) and "constant_answer" in last["metrics"]:
        constant = [last["metrics"][f"constant_answer{part}"] for part in ("", "_low", "_high")]
        table.add_row(
            "best constant", f"{constant[0]:.3f}", f"{constant[1]:.3f} .. {constant[2]:.3f}", str(last["n"]), "", ""
        )
    console.print(table)
    for alarm in summary.get("alarms", ()):
        steps = f"steps {alarm['first_step']} to {alarm['last_step']}{'' if alarm['standing'] else ', then cleared'}"
        console.print(f"alarm {alarm['name']}, {steps}: {alarm['text']}", style="yellow", markup=False, soft_wrap=True)
    if summary["reason"]:
        console.print(summary["reason"], markup=False, soft_wrap=True)
    console.print(f"report: {folder / 'report.html'}")


@contextmanager
def working(quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal for a command's own work, called with (what, done, total); nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task("")
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def report_rescored(facts: dict[str, Any], as_json: bool) -> None:
    """Old and new means, what changed of the order in groups, and which rollouts changed most."""
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    first, last = facts["steps"]
    table = Table(title=f"{facts['run']}: {facts['rollouts']} rollouts of steps {first} to {last}, scored again")
    for heading in ("", "old mean", "new mean", "scored old", "scored new", "changed"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, one in facts["rewards"].items():
        table.add_row(
            name,
            _mean(one["old"]),
            _mean(one["new"]),
            *(str(one[key]) for key in ("scored_old", "scored_new", "changed")),
        )
    console.print(table)
    missing, order, advantages = facts["missing"], facts["order"], facts["advantages"]
    console.print(f"missing: {missing['old']} old, {missing['new']} new", markup=False)
    for reason in missing["reasons"]:
        console.print(f"  {reason}", markup=False, soft_wrap=True)
    console.print(
        f"order: of {order['groups']} groups another best attempt in {order['best_changed']}, another order in "
        f"{order['order_changed']}; {order['inverted_pairs']} of {order['pairs']} pairs inverted, Kendall's tau "
        f"{_mean(order['kendall_tau'])}",
        soft_wrap=True,
    )
    if advantages:
        console.print(
            f"advantages: of {advantages['compared']}, {advantages['flipped']} changed sign, {advantages['silenced']} became 0, "
            f"{advantages['woken']} were 0",
            soft_wrap=True,
        )
    for one in facts["top_groups"]:
        console.print(
            f"  group {one['sample_id']} of step {one['step']}: {one['inverted_pairs']} pairs inverted, best attempt "
            f"{_places(one['best_old'])} -> {_places(one['best_new'])}",
            markup=False,
            soft_wrap=True,
        )
    for one in facts["top_rollouts"]:
        scores = ", ".join(f"{name} {_mean(old)} -> {_mean(new)}" for name, (old, new) in one["scores"].items())
        console.print(
            f"  rollout {one['sample_id']} attempt {one['attempt']} of step {one['step']}: reward {_mean(one['old'])} -> "
            f"{_mean(one['new'])}{f' ({scores})' if scores else ''}",
            markup=False,
            soft_wrap=True,
        )
    for line in [*facts["problems"], *([f"every rollout: {facts['out']}"] if facts["out"] else [])]:
        console.print(line, markup=False, soft_wrap=True)


def _mean(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _places(attempts: list[int]) -> str:
    """Attempts by number; several are equally good."""
    shown = ", ".join(map(str, attempts[:4]))
    return f"{shown} …" if len(attempts) > 4 else shown


def print_facts(facts: dict[str, Any], as_json: bool) -> None:
    """Named facts, lists and mappings one item a line."""
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    for key, value in facts.items():
        if isinstance(value, dict):
            console.print(f"{key}:", markup=False)
            for name, item in value.items():
                console.print(f"  {name}: {item}", markup=False, soft_wrap=True)
        elif isinstance(value, list) and value:
            console.print(f"{key}:", markup=False)
            for item in value:
                console.print(f"  {item}", markup=False, soft_wrap=True)
        else:
            console.print(f"{key}: {value}", markup=False, soft_wrap=True)


def report_audit(audit: Any) -> None:
    """An audit's tables: the rules that never look, what is in two splits, and the findings in words."""
    from medrl.evaluation.leaks import COPY_WORDS  # brings scipy along

    tables: dict[str, Table] = {}
    for one in audit.shortcuts:
        title = f"{one.split}, rules fitted on {one.fitted_on}"
        if (rules := tables.get(title)) is None:
            rules = tables[title] = Table(
                title=escape(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
            )
            for heading in ("kind", "rule", "n", "right", "95 % interval", "chance", "shuffled"):
                rules.add_column(heading, justify="left" if heading in ("kind", "rule") else "right", no_wrap=True)
        right = f"[bold]{_percent(one.accuracy)}[/bold]" if one.stands_out else _percent(one.accuracy)
        rules.add_row(
            escape(one.kind), one.baseline, str(one.n), right, f"{_percent(one.low)} .. {_percent(one.high)}",
            _percent(one.chance), _percent(one.control),
        )  # fmt: skip
    for rules in tables.values():
        console.print(rules)
    for leak in audit.leaks:
        shared = Table(
            title=escape(f"{leak.second}: what is in {leak.first} too"),
            title_justify="left",
            show_header=False,
            box=SIMPLE_HEAD,
            pad_edge=False,
        )
        for name, value in (
            ("pictures", f"{leak.copies} of {leak.pictures}"),
            *((f"  {words}", leak.levels[level]) for level, words in COPY_WORDS.items()),
            ("questions that show one", leak.questions),
            ("questions with picture and answer", leak.repeated),
            ("patients", leak.patients),
            ("studies", leak.studies),
        ):
            shared.add_row(name, str(value))
        console.print(shared)
    for finding in audit.findings() or ["nothing was found"]:
        console.print(f"- {finding}", markup=False, soft_wrap=True)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
