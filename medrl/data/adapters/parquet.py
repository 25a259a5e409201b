"""A parquet file in verl's row format, made by `medrl data build` or by anything else that writes for verl."""

from collections.abc import Iterator
from pathlib import Path

from medrl.data.sample import Refused, Sample, read_parquet


def read(root: Path | None, split: str) -> Iterator[Sample | Refused]:
    """Stream the rows of the file `split`, a path below `root` (None: the working directory) or an absolute one."""
    yield from read_parquet((root or Path.cwd()) / split)
