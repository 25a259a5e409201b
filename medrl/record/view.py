"""`medrl view`: both pages of a run, each with its link to the other."""

from pathlib import Path
from typing import Any

from medrl.record.page import REPORT_PAGE
from medrl.record.report import write_report
from medrl.record.rollouts_page import write_rollouts_page


def view_run(run_dir: Path, out: Path | None, most: int, step: int | None) -> dict[str, Any]:
    """Write rollouts.html (or `out`) and report.html; returns where they are and what is shown. MedrlError without rollouts."""
    if not (run_dir / REPORT_PAGE).is_file():
        write_report(run_dir)  # so that there is something to link to
    try:
        written = write_rollouts_page(run_dir, out, most, step)
    finally:
        write_report(run_dir)
    return {
        "rollouts": str(written.path),
        "report": str(run_dir / REPORT_PAGE),
        "shown": written.shown,
        "of_rollouts": written.rollouts,
        "steps": list(written.steps),
        "recorded_steps": written.recorded_steps,
        "megabytes": round(written.bytes / 1e6, 2),
    }
