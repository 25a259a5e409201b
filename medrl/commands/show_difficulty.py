"""What `medrl data difficulty` prints: the bands with their reasons and pass@k; one JSON object for scripts."""

import json
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from medrl.evaluation.support import BANDS
from medrl.terminal import console


def show_plan(support: dict[str, Any], files: dict[str, str], as_json: bool) -> None:
    """Sample ids are in the plan's file alone."""
    if as_json:
        bands = {
            name: {key: value for key, value in band.items() if key != "sample_ids"}
            for name, band in support["bands"].items()
        }
        print(json.dumps({**support, "bands": bands, **files}, ensure_ascii=False))
        return
    table = _table(f"{support['samples']} samples, {support['attempts']} attempts at each")
    for heading in ("band", "samples", "share", "rule", "why"):
        table.add_column(heading, justify="right" if heading in ("samples", "share") else "left", overflow="fold")
    for name, band in support["bands"].items():
        table.add_row(name, str(band["count"]), f"{band['share']:.1%}", band["rule"], band["reason"])
    console.print(table)
    console.print(_pass_at_k(support))
    for note in support["notes"]:
        console.print(note, markup=False, soft_wrap=True)
    for name, path in files.items():
        console.print(f"{name}: {path}", markup=False, soft_wrap=True)
    if support["bands"]["rl"]["count"]:
        console.print(
            f"train on the band rl: medrl train RECIPE {' '.join(support['train_on_rl'])}", markup=False, soft_wrap=True
        )


def _pass_at_k(support: dict[str, Any]) -> Table:
    """A row for all samples, its interval below it, and a row a slice where there are several."""
    table = _table("pass@k, unbiased")
    bands = [name for name in BANDS if name in support["bands"]]
    for heading in ("", "samples", *bands, *(f"k={k}" for k in support["pass_at_k"])):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    counts = [str(support["bands"][name]["count"]) for name in bands]
    for key, name, told in (
        ("value", "all", [str(support["samples"]), *counts]),
        ("low", "  95 % from", [""] * (1 + len(bands))),
        ("high", "  to", [""] * (1 + len(bands))),
    ):
        table.add_row(name, *told, *(f"{one[key]:.3f}" for one in support["pass_at_k"].values()))
    if len(support["by_slice"]) > 1:
        for name, one in support["by_slice"].items():
            values = (f"{value['value']:.3f}" for value in one["pass_at_k"].values())
            table.add_row(escape(name), str(one["samples"]), *(str(one[band]) for band in bands), *values)
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
