"""How often a model is right on each sample: the file of `medrl data difficulty`, and what a course reads from it.

JSON lines: a header that says what was measured, then an object a sample. A file made elsewhere needs no header: it is
read if every line has `sample_id` and `pass_rate`, a share between 0 and 1, or null where nothing could be graded.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.data.sample import Sample
from medrl.data.source import DataSet
from medrl.errors import MedrlError
from medrl.record.files import sha256_of

HEADER = "measured"  # the key that a header has and no other line
SHOWN = 5


@dataclass(frozen=True)
class PassRates:
    """`rates`: sample id to pass rate, None where no attempt had a score. `header`: what made them; empty if not told."""

    path: Path
    sha256: str
    header: dict[str, Any]
    rates: dict[str, float | None]


def read_pass_rates(path: Path) -> PassRates:
    """MedrlError for a file that is no such file, or whose end is missing."""
    header, rows = read_lines(path)
    rates: dict[str, float | None] = {}
    for number, row in enumerate(rows, start=1 + bool(header)):
        identity, rate = row.get("sample_id"), row.get("pass_rate", "missing")
        fits = rate is None or (isinstance(rate, int | float) and not isinstance(rate, bool) and 0 <= rate <= 1)
        if not isinstance(identity, str) or not fits:
            raise MedrlError(
                f"{path}, line {number}: sample_id={identity!r}, pass_rate={rate!r}; expected text, and a share from 0 to 1 or "
                "null. `medrl data difficulty RECIPE` makes such a file."
            )
        if identity in rates:
            raise MedrlError(f"{path}, line {number}: {identity} stands in it twice; expected one line a sample.")
        rates[identity] = None if rate is None else float(rate)
    if header and len(rates) < header["samples"]:
        raise MedrlError(
            f"{path}: {len(rates)} of {header['samples']} samples are measured. Run the same `medrl data difficulty` again: it "
            "goes on where it was stopped."
        )
    return PassRates(path, sha256_of(path), header, rates)


def read_lines(path: Path, cut_off: bool = False) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(header, a row a sample). `cut_off`: the last line may be broken, and is left out then; else it is an error."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise MedrlError(f"{path}: not a readable text file ({error}).") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        row = _row(line)
        if row is None and number == len(lines) and cut_off:
            break
        if row is None:
            why = "is cut off" if number == len(lines) else "is not one JSON object"
            raise MedrlError(
                f"{path}, line {number} {why}. If the measuring was stopped, run the same `medrl data difficulty` again: it "
                "goes on from there. Else make the file anew."
            )
        rows.append(row)
    if rows and HEADER in rows[0]:
        return rows[0], rows[1:]
    return {}, rows


def coverage_faults(measured: PassRates, data: DataSet, samples: list[Sample]) -> list[str]:
    """Why these rates are not those of `samples`, which are of `data`: other data, ids that name several, none measured."""
    place = f"curriculum.pass_rates={measured.path}"
    theirs = measured.header.get("data_sha256")
    if theirs is not None and theirs != data.sha256:
        return [
            f"{place}: measured on other data (sha256 {theirs[:12]}…, that of data.train is {data.sha256[:12]}…), so equal ids "
            "may be other questions. Measure this data with `medrl data difficulty`."
        ]
    problems = shared_ids(samples)
    absent = [sample.id for sample in samples if sample.id not in measured.rates]
    if absent:
        listed = ", ".join(absent[:SHOWN]) + (", …" if len(absent) > SHOWN else "")
        problems.append(
            f"{place}: {len(absent)} of {len(samples)} samples have no measured rate: {listed}. Measure this data with "
            "`medrl data difficulty`, or train with the data.kinds it was measured with."
        )
    return problems


def shared_ids(samples: list[Sample]) -> list[str]:
    """A fault if one id names different samples; the same sample may be there more than once."""
    known: dict[str, Sample] = {}
    shared = list({s.id: None for s in samples if known.setdefault(s.id, s) is not s and known[s.id] != s})
    if not shared:
        return []
    return [
        f"{len(shared)} ids name more than one training sample, such as {shared[0]}; what is measured of one would count for "
        "the other. Give each its own id (extra_info.id)."
    ]


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line) if line.endswith("\n") else None  # without its end a number may be half of one
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
