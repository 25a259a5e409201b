"""docs/rewards.md names every reward there is, and none that is not."""

import re
from pathlib import Path

from medrl.plugin import SHIPPED


def test_the_catalogue_is_complete():
    text = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert listed | {"easyr1"} == {path.stem for path in (SHIPPED / "rewards").glob("*.py")}
