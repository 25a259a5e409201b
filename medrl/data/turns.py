"""Conversations of published trajectory files as plain turns: what the model said, what it was told, which pictures.

Known: `messages` of role and content (OpenAI, ms-swift, DeepEyes) and `conversations` of from and value (ShareGPT,
LLaVA); content as text or as a list of parts; ms-swift's tool_call turns; ViTAR's and OpenThinkIMG's turns that are JSON
objects of thought and actions.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medrl.data.sample import IMAGE_PLACEHOLDER

ROLES = {
    "system": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant",
    "tool": "observation", "tool_response": "observation", "observation": "observation", "function": "observation",
    "tool_call": "call", "function_call": "call",
}  # fmt: skip
_WRAPPED = re.compile(r"\A\s*<tool_response>\s*(.*?)\s*</tool_response>\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class Turns:
    """`prompt`: role/content up to the first reply; `replies`: what the model said, one a turn; `observations`: the text
    between them, `<image>` placeholders left in it."""

    prompt: tuple[dict[str, str], ...]
    replies: tuple[str, ...]
    observations: tuple[str, ...]


class NoTurns(ValueError):
    """Why a record is no conversation to imitate."""


def read_turns(row: dict[str, Any]) -> Turns:
    """The turns of a record. NoTurns says what is wrong: no conversation, an unknown role, no reply, no observation."""
    prompt: list[dict[str, str]] = []
    replies: list[str] = []
    observations: list[str] = []
    before = ""
    for role, content in _merged([_turn(message, place) for place, message in enumerate(_messages(row))]):
        if role == "assistant":
            replies.append(content)
        elif not replies:
            if role == "observation":
                raise NoTurns("an observation stands before the first reply")
            prompt.append({"role": role, "content": content})
        elif role == "system" or before != "assistant":
            raise NoTurns(f"a {role} turn follows a {before} turn; expected one observation between two replies")
        else:
            wrapped = _WRAPPED.match(content)
            observations.append(wrapped[1] if wrapped else content)
        before = role
    if not any(turn["role"] == "user" for turn in prompt):
        raise NoTurns("there is no user turn before the first reply")
    if before != "assistant":
        raise NoTurns("the last turn is not the model's" if replies else "there is no reply of the model")
    return Turns(tuple(prompt), tuple(replies), tuple(observations))


def _messages(row: dict[str, Any]) -> list[Any]:
    found = row.get("messages") if row.get("messages") is not None else row.get("conversations")
    if isinstance(found, str):  # parquet files that keep them as text
        try:
            found = json.loads(found)
        except ValueError:
            raise NoTurns("messages is text, and not JSON") from None
    if not isinstance(found, Sequence) or not found:
        raise NoTurns(f"no messages (or conversations); the columns are {', '.join(map(str, row))}")
    return list(found)


def _turn(message: Any, place: int) -> tuple[str, str]:
    """(role, text) of one turn as it stands."""
    if not isinstance(message, dict):
        raise NoTurns(f"messages[{place}] is a {type(message).__name__}, expected an object with role and content")
    said, content = message.get("role", message.get("from")), message.get("content", message.get("value"))
    role = ROLES.get(said) if isinstance(said, str) else None
    if role is None:
        raise NoTurns(f"messages[{place}] has role {said!r}; known are {', '.join(ROLES)}")
    text = _text(content, place)
    for call in message.get("tool_calls") or ():  # OpenAI's: the call lies beside the text
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise NoTurns(f"messages[{place}].tool_calls holds no function")
        text += _call(function, place)
    if role == "call":
        return "assistant", _call(content, place)
    return role, text


def _text(content: Any, place: int) -> str:
    """Content as text: parts joined, a picture as its placeholder, an object (ViTAR's thought and actions) as JSON."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return json.dumps(content, ensure_ascii=False)
    pieces = []
    for part in content if isinstance(content, list) else [content]:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            pieces.append(part["text"])
        elif kind in ("image", "image_url"):
            pieces.append(IMAGE_PLACEHOLDER)
        else:
            raise NoTurns(f"messages[{place}] has a part of kind {kind!r}; expected text or image")
    return "".join(pieces)


def _call(content: Any, place: int) -> str:
    """A tool call as it is written in a reply: Hermes tags around name and arguments."""
    try:
        call = json.loads(content) if isinstance(content, str) else dict(content)
        arguments = call.get("arguments", call.get("parameters", {}))
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        name = call["name"]
    except (TypeError, ValueError, KeyError, AttributeError):
        raise NoTurns(f"messages[{place}] is a tool call without name and arguments as JSON") from None
    written = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>{written}</tool_call>"


def _merged(turns: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Turns with those of one speaker in a row made one: a thought and the call after it, two tools' answers."""
    merged: list[tuple[str, str]] = []
    for role, text in turns:
        if merged and merged[-1][0] == role and role in ("assistant", "observation"):
            merged[-1] = (role, merged[-1][1] + text)
        else:
            merged.append((role, text))
    return merged
