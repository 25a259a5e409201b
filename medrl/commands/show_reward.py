"""What `medrl reward check` and `attack` print: a table for people, one JSON object for scripts."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from medrl.scoring.trial.attack import RULE, Finding
from medrl.scoring.trial.check_reward import Checked

MARKS = {True: ("ok", "green"), False: ("fault", "bold red"), None: ("?", "yellow")}


def show_checked(checked: Checked, as_json: bool) -> None:
    """The checks, one a line."""
    if as_json:
        print(json.dumps({
            "path": str(checked.path), "signature": checked.signature, "kinds": list(checked.kinds),
            "faults": len(checked.faults), "checks": [asdict(check) for check in checked.checks],
        }))  # fmt: skip
        return
    table = Table(title=str(checked.path), title_justify="left")
    for heading in ("check", "", "found"):
        table.add_column(heading, overflow="fold")
    for check in checked.checks:
        table.add_row(check.name, Text(*MARKS[check.ok]), Text(_printable(check.told)))
    Console(highlight=False).print(table)


def show_findings(findings: Sequence[Finding], about: str, as_json: bool) -> None:
    """The attacks by kind of question, one a line, then the replies that won."""
    beaten = [one for one in findings if one.verdict != "held"]
    if as_json:
        print(json.dumps({
            "about": about, "attacks": len({one.attack for one in findings}), "beaten": len(beaten), "rule": RULE,
            "findings": [asdict(one) for one in findings],
        }))  # fmt: skip
        return
    console = Console(highlight=False)
    kinds = list(dict.fromkeys(one.kind for one in findings))
    for kind in kinds:
        table = Table(title=f"questions of kind {kind or '(not stated)'}", title_justify="left")
        for heading, justify in (("attack", "left"), ("bar", "right"), ("earned", "right"), ("", "left")):
            table.add_column(heading, justify="right" if justify == "right" else "left")
        for one in findings:
            if one.kind == kind:
                style = "green" if one.verdict == "held" else "bold red"
                table.add_row(one.attack, _number(one.bar), _number(one.score), Text(one.verdict, style))
        console.print(table)
    console.print(about, markup=False)
    console.print(RULE, markup=False)
    for one in beaten:
        through = f" through {', '.join(one.through)}" if one.through else ""
        why = f" ({one.reason})" if one.reason else ""
        line = f"{one.kind}: {one.attack}: {_number(one.score)} above {_number(one.bar)}{through}{why}: {one.reply}"
        console.print(_printable(line), markup=False, soft_wrap=True)
    attacks = len({one.attack for one in findings})
    console.print(f"{attacks} attacks on {len(kinds)} kinds of question: {len(beaten) or 'none'} won", markup=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _printable(text: str) -> str:
    """Nothing a model could have written may move the cursor or break the terminal's encoding."""
    return "".join(
        c
        if (c.isprintable() and c.isascii()) or c.isalnum()
        else f"\\u{ord(c):04x}"
        if ord(c) > 126 or ord(c) < 32
        else c
        for c in text
    )
