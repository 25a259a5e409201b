"""Turn a sample's question into the messages a model is shown: one small jinja2 template, replaceable by the user's own.

`think` asks for reasoning before the answer, `no_think` for the answer alone. A style is `think`, `no_think` or the path
of a `.jinja` file; it sees `question`, `kind`, `options`, `extra_info` and `tools`, and its text replaces the last user message.
What a template says in `{% set system %}…{% endset %}` goes before the conversation, in place of a system turn of the sample.
The template's hash goes on the run's card, since a changed word is a changed experiment (Med-R1 ships three wordings).
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from medrl.data.sample import IMAGE_PLACEHOLDER, Sample
from medrl.errors import MedrlError
from medrl.plugin import find_file

TEMPLATES = Path(__file__).parent / "templates"
_THINK_BLOCK = re.compile(r"<think>.*?</think>\s*", re.DOTALL)


@dataclass(frozen=True)
class PromptStyle:
    """A loaded template; `thinks` says whether it asks for a `<think>` block."""

    name: str
    template: jinja2.Template
    sha256: str
    thinks: bool
    tools: tuple[dict[str, Any], ...] = ()  # JSON schemas of what an environment offers; the template sees them

    def messages(self, sample: Sample) -> list[dict[str, str]]:
        """The sample's messages with the instruction in the last user turn, behind the template's system turn if it has one.

        `<image>` placeholders stay where they are.
        """
        turns = [dict(message) for message in sample.messages]
        last = max((index for index, turn in enumerate(turns) if turn["role"] == "user"), default=None)
        if last is None:
            raise MedrlError(f"{sample.id}: the prompt has no user message. Expected at least one with role 'user'.")
        try:
            rendered = self.template.make_module(
                {
                    "question": turns[last]["content"],
                    "kind": sample.kind,
                    "options": sample.options,
                    "extra_info": sample.extra_info,
                    "tools": self.tools,
                }
            )
        except jinja2.TemplateError as error:
            raise MedrlError(f"prompt.style {self.name}: it does not render {sample.id}: {error}. Mend it.") from None
        turns[last]["content"] = str(rendered).strip()
        for turn, original in zip(turns, sample.messages):
            if turn["content"].count(IMAGE_PLACEHOLDER) != original["content"].count(IMAGE_PLACEHOLDER):
                raise MedrlError(
                    f"prompt.style {self.name}: the template changed the number of {IMAGE_PLACEHOLDER} in {sample.id}. "
                    "Write `{{ question }}` exactly once."
                )
        system = str(getattr(rendered, "system", "")).strip()
        if not system:
            return turns
        if IMAGE_PLACEHOLDER in system:
            raise MedrlError(
                f"prompt.style {self.name}: its system turn holds {IMAGE_PLACEHOLDER}. Leave it out there."
            )
        return [{"role": "system", "content": system}, *(turn for turn in turns if turn["role"] != "system")]

    def applied(self, sample: Sample) -> Sample:
        """The sample with its messages as the model sees them; applying the style again would add it twice."""
        return replace(sample, messages=tuple(self.messages(sample)))

    def demonstration(self, sample: Sample, ground_truth: str) -> list[str]:
        """The replies to imitate, turn by turn: `{ground_truth}` filled in, reasoning dropped where the style asks for none.

        Empty for a sample without one.
        """
        replies = [reply.replace("{ground_truth}", ground_truth) for reply in sample.demonstration]
        return replies if self.thinks else [_THINK_BLOCK.sub("", reply) for reply in replies]


def load_style(style: str, beside: Path | None = None, tools: Sequence[dict[str, Any]] = ()) -> PromptStyle:
    """`think`, `no_think`, or the path of a jinja2 file. Raises MedrlError when it does not exist or does not parse."""
    shipped = TEMPLATES / f"{style}.jinja"
    if not style.endswith(".jinja") and not shipped.is_file():
        known = ", ".join(sorted(path.stem for path in TEMPLATES.glob("*.jinja")))
        raise MedrlError(f"prompt.style: no style {style!r}; expected one of {known}, or the path of a .jinja file.")
    path = shipped if shipped.is_file() else find_file(style, beside)
    source = path.read_text(encoding="utf-8")
    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters["tojson"] = _json  # jinja's own writes < and ' as \u003c and \u0027, for pages
    try:
        template = environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise MedrlError(f"{path} line {error.lineno}: {error.message}. Mend the template.") from None
    digest = hashlib.sha256(source.encode()).hexdigest()
    return PromptStyle(name=style, template=template, sha256=digest, thinks="<think>" in source, tools=tuple(tools))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
