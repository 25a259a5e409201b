"""What prompt a model was taught with, kept beside its weights, so that the next stage cannot quietly use another.

A cold start with one wording or tool schema and GRPO with another is the commonest way to lose what was learnt.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medrl.dialogue.prompts import PromptStyle
from medrl.errors import MedrlError

FILE = "medrl_prompt.json"


def taught_with(style: PromptStyle, tools: Sequence[dict[str, Any]], action_format: str) -> dict[str, str | None]:
    """The prompt's template, the tools it shows and how their calls are written, as hashes and names."""
    schema = json.dumps(list(tools), sort_keys=True, ensure_ascii=False)
    return {
        "prompt_style": style.name,
        "prompt_template_sha256": style.sha256,
        "tools": ", ".join(tool["function"]["name"] for tool in tools) or None,
        "tools_sha256": hashlib.sha256(schema.encode()).hexdigest() if tools else None,
        "action_format": action_format if tools else None,
    }


def check_taught(model_path: str, now: dict[str, str | None]) -> None:
    """MedrlError when the model's folder says it was taught with another prompt than `now`; silent where it says nothing."""
    file = Path(model_path) / FILE
    if not file.is_file():
        return
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
        differing = [
            key for key in ("prompt_template_sha256", "tools_sha256", "action_format") if before[key] != now[key]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise MedrlError(f"{file}: not readable ({error!r}). Remove it, or make the model again.") from None
    if not differing:
        return
    told = "; ".join(f"{key}: found {_tell(before, key)}, expected {_tell(now, key)}" for key in differing)
    raise MedrlError(
        f"model.path={model_path}: this model was taught with another prompt than this recipe's ({told}). What it learnt would not "
        f"be asked for. Use the prompt.style and env of its cold start, or make the cold start again with these; if the "
        f"change is meant, remove {file}."
    )


def _tell(of: dict[str, str | None], key: str) -> str:
    """A hash's beginning and what it is the hash of."""
    name = of.get({"prompt_template_sha256": "prompt_style", "tools_sha256": "tools"}.get(key, ""))
    value = of[key]
    return "none" if value is None else value[:12] + (f" ({name})" if name else "")
