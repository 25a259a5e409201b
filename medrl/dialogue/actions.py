"""Read the action out of a reply. One reader per way of writing actions; none of them ever raises.

`hermes`: `<tool_call>{"name": …, "arguments": {…}}</tool_call>` (Qwen, verl, DeepEyes). `thought_action`: ViTAR's and
OpenThinkIMG's `{"thought": …, "actions": [{"name": …, "arguments": {…}}]}`. `grounding`: Mini-o3's
`<grounding>{"bbox_2d": […], "source": "original_image" or "observation_k"}</grounding>`.

What models get wrong and is still read: a fence around the JSON, single quotes, a missing closing tag at the end of the
reply, arguments as a JSON string, a comma too many, and arguments beside the name instead of below `arguments`.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_CHARACTERS = 20_000  # of an action; what is longer is not read, so that no reply is slow to read
MAX_DEPTH = 20  # of lists and objects in one another; deeper ones would overflow what has to walk through them
_COMMA_TOO_MANY = re.compile(r",(\s*[}\]])")


@dataclass(frozen=True)
class Asked:
    """What a reply asks for. `fault`: it looks like an action and cannot be read as one, for the reason given."""

    name: str = ""
    arguments: dict[str, Any] | None = None
    fault: str = ""


@dataclass(frozen=True)
class Protocol:
    """A way of writing actions. `read`: reply -> Asked, or None where there is no action. `end`: text that ends one, None
    where the whole reply is the action and the model's own end token ends it."""

    read: Callable[[str], Asked | None]
    end: str | None
    answer: Callable[[str], str] = lambda reply: reply  # the reply as rewards read answers from it


def _hermes(reply: str) -> Asked | None:
    body = _between(reply, "tool_call")
    return None if body is None else _call(body)


def _grounding(reply: str) -> Asked | None:
    body = _between(reply, "grounding")
    if body is None:
        return None
    found = _object(body)
    if found is None:
        return Asked(fault="the text inside <grounding> is not a JSON object")
    source = found.get("source", "original_image")
    place = re.fullmatch(r"original_image|observation_(\d{1,4})", source) if isinstance(source, str) else None
    if place is None:
        return Asked(fault=f"source={str(source)[:40]!r}; expected original_image or observation_1, observation_2, …")
    return Asked("zoom", {"bbox_2d": found.get("bbox_2d"), "image": int(place[1] or 0)})


def _thought_action(reply: str) -> Asked | None:
    """Only the first action of a turn is done: one picture comes back, and then the model thinks again."""
    found = _object(reply.strip())
    if found is None:
        looks = '"actions"' in reply or '"action"' in reply
        return Asked(fault="the reply is not one JSON object with thought and actions") if looks else None
    actions = found.get("actions", found.get("action"))
    actions = actions if isinstance(actions, list) else [actions] if actions else []
    if not actions:
        return None
    if not isinstance(actions[0], dict):
        return Asked(fault="an action is not a JSON object with name and arguments")
    asked = _named(actions[0])
    return None if asked.name.lower() == "terminate" else asked


def _answer_of_thought(reply: str) -> str:
    """A thought/action turn as the answer readers know it: what its Terminate action gives, inside answer tags."""
    found = _object(reply.strip())
    actions = found.get("actions", found.get("action")) if found else None
    for action in actions if isinstance(actions, list) else [actions]:
        asked = _named(action) if isinstance(action, dict) else Asked()
        if asked.name.lower() == "terminate" and asked.arguments:
            answer = asked.arguments.get("ans", asked.arguments.get("answer"))
            return f"<think>{(found or {}).get('thought', '')}</think><answer>{answer}</answer>"
    return reply


PROTOCOLS = {
    "hermes": Protocol(_hermes, "</tool_call>"),
    "thought_action": Protocol(_thought_action, None, _answer_of_thought),
    "grounding": Protocol(_grounding, "</grounding>"),
}


def thought_of(reply: str) -> str:
    """The reasoning of a turn, however it is written; empty where there is none."""
    if (inside := _between(reply, "think")) is not None:
        return inside.strip() if "</think>" in reply else ""
    found = _object(reply.strip())
    thought = found.get("thought") if found else None
    return thought.strip() if isinstance(thought, str) else ""


def _between(reply: str, tag: str) -> str | None:
    """The text inside the first `<tag>`; a closing tag may be missing at the end of the reply."""
    start = reply.find(f"<{tag}>")
    if start < 0:
        return None
    body = reply[start + len(tag) + 2 :]
    return body.split(f"</{tag}>", 1)[0]


def _call(body: str) -> Asked:
    found = _object(body)
    if found is None:
        return Asked(fault="the text inside <tool_call> is not a JSON object with name and arguments")
    return _named(found)


def _named(found: dict[str, Any]) -> Asked:
    name = found.get("name")
    if not isinstance(name, str) or not name:
        return Asked(fault="the action has no name")
    arguments = found.get("arguments", found.get("parameters"))
    if arguments is None:  # beside the name instead of below
        arguments = {key: value for key, value in found.items() if key != "name"}
    if isinstance(arguments, str):
        arguments = _object(arguments)
    if not isinstance(arguments, dict):
        return Asked(fault=f"the arguments of {name[:40]} are not a JSON object")
    return Asked(name, arguments)


def _object(text: str) -> dict[str, Any] | None:
    """The text as a JSON object, mended where that is certain; None otherwise.

    What comes back can be journalled: not too deep, no half of a surrogate pair, and null for what no float can hold.
    """
    if len(text) > MAX_CHARACTERS:
        return None
    plain = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    candidates = [plain, _COMMA_TOO_MANY.sub(r"\1", plain)]
    if '"' not in plain:
        candidates.append(_COMMA_TOO_MANY.sub(r"\1", plain.replace("'", '"')))
    for candidate in candidates:
        try:
            found = json.loads(candidate, parse_constant=lambda _: None, parse_float=_finite)
        except (ValueError, RecursionError):
            continue
        return found if isinstance(found, dict) and _is_shallow(found) and _is_unicode(candidate, found) else None
    return None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _is_shallow(found: Any) -> bool:
    level = [found]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for one in level
            if isinstance(one, (dict, list))
            for item in (one.values() if isinstance(one, dict) else one)
        ]
    return not level


def _is_unicode(written: str, found: Any) -> bool:
    """False where an escape such as "\\ud800" made text that no file can hold."""
    if "\\u" not in written:
        return True
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
