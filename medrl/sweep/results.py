"""Write what a sweep came to, finished or not: table.md, table.csv, runs.csv, table.tex, results.json and index.html."""

from pathlib import Path
from typing import Any

from medrl.record.files import write_json, write_text
from medrl.sweep import tables
from medrl.sweep.facts import sweep_facts
from medrl.sweep.layout import Sweep
from medrl.sweep.outcomes import outcome
from medrl.sweep.page import sweep_page
from medrl.sweep.words import headline


def write_results(sweep: Sweep) -> dict[str, Any]:
    """Write tables and page into the sweep's folder, each replaced whole, and return the facts as in results.json.

    `files` names what was written; the keys `sweep` and `runs` are left to the caller. Raises MedrlError for a metric that no
    validation recorded. A run that failed, or is missing, is named in every file and stops none of them.
    """
    outcomes = [outcome(sweep, run) for run in sweep.runs]
    facts = sweep_facts(sweep, outcomes)
    facts["headline"] = headline(facts)
    texts = {
        "table.md": tables.markdown(facts),
        "table.csv": tables.points_csv(facts),
        "runs.csv": tables.runs_csv(facts),
        "table.tex": tables.latex(facts),
        "index.html": sweep_page(sweep, facts, outcomes),
    }
    files: dict[str, Path] = {}
    for name, text in texts.items():
        files[name] = sweep.folder / name
        write_text(files[name], text)
    facts["files"] = {name: str(path) for name, path in files.items()}
    write_json(sweep.folder / "results.json", facts)
    return facts
