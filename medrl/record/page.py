"""What the pages of a run share: one self-contained file that loads nothing.

Styles, script and pictures are inside, and a content security policy that knows only our own script's hash forbids the
rest. All text of models and data passes autoescape.
"""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from medrl.record.charts import number_text

HERE = Path(__file__).parent
REPORT_PAGE, ROLLOUTS_PAGE = "report.html", "rollouts.html"  # side by side in the run directory, linked to each other
# C0 controls have no place in HTML: shown as their pictures (␀), except tab and line ends
CONTROLS = {code: chr(0x2400 + code) for code in range(32) if code not in (9, 10, 13)} | {0x7F: "␡"}
# Nor have the controls that turn the order of all that follows: a reply could make another reply's words read otherwise
CONTROLS |= {code: f"⟨U+{code:04X}⟩" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def rendered(name: str, contents: Mapping[str, Any], script_of: str = "", **more: Any) -> str:
    """The page `<name>.html.jinja` with its styles and its script, or that of another page, ready to be written as UTF-8."""
    style = "".join(_text(each) for each in dict.fromkeys(("report.css", f"{name}.css")))
    source = f"{script_of or name}.js"
    script = _text(source) if (HERE / source).is_file() else ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    own = {"style": Markup(style), "script": Markup(script), "script_hash": Markup(digest)}
    page = _environment().get_template(f"{name}.html.jinja").render(contents, **own, **more)
    return page.translate(CONTROLS).encode("utf-8", "backslashreplace").decode()  # a lone surrogate cannot be UTF-8


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number_text
    return environment


@cache
def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
