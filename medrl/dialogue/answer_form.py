r"""The form of a reply, part by part: which of the things a prompt style asks for are there.

`think` and `no_think` are those of `format_ok`; `json` is one JSON value, `boxed` a reply that ends in one `\boxed{X}`.
A part that builds on another counts only with it, so that no silent or empty reply has any. Nothing here raises on a reply.
"""

import re
from collections.abc import Sequence

from medrl.dialogue.answer_json import JsonFault, parse_json
from medrl.dialogue.answer_region import format_ok

STYLES = ("think", "no_think", "json", "boxed")

_FENCED = re.compile(r"(?<!`)`{3,}+(?:json|JSON)?(?=[\s{\[])([^`]*+)`{3,}+")
_THINK_TAG = re.compile(r"</?think>")
_BOXED = re.compile(r"\\boxed\s*+\{")
_MEDR1_TURN = re.compile(r"</think>\s*+<answer>")
_BRACE = re.compile(r"\\[\\{}]|[{}]")
_AFTER_BOX = re.compile(r"[\s$.)\]*]*+\Z")


def form_parts(reply: str, style: str = "think", keys: Sequence[str] = ()) -> dict[str, float]:
    """Each part of the style and how far it is there, from 0 to 1; all are 1 when the reply has exactly the form.

    `keys`: what every object of a `json` reply must hold. ValueError for another style than those of STYLES.

    >>> form_parts("<think>dense</think> so <answer>B</answer>")
    {'thought': 1.0, 'answer': 1.0, 'order': 1.0, 'alone': 0.0}
    >>> form_parts('{"answer": "B"}', "json", ["answer", "confidence"])
    {'json': 1.0, 'keys': 0.5, 'alone': 1.0}
    """
    if style not in STYLES:
        raise ValueError(f"format style {style!r} is unknown; expected one of {', '.join(STYLES)}.")
    if style == "json":
        return _json_parts(reply, keys)
    if style == "boxed":
        return _boxed_parts(reply)
    return _tagged_parts(reply, style)


def medr1_form_ok(reply: str, style: str = "think") -> bool:
    r"""What Med-R1's released reward takes for the form, to the letter and in one pass.

    `think`: fullmatch of `<think>.*?</think>\s*<answer>.*?</answer>`, so blank parts and further tags pass, and a line
    break at the end does not; `no_think`: fullmatch of `\s*<answer>.*?</answer>`. Source: Yuxiang-Lai117/Med-R1,
    grpo_vqa.py and grpo_vqa_nothink.py.

    >>> medr1_form_ok("<think></think><answer></answer>"), medr1_form_ok("<think>a</think><answer>B</answer>\n")
    (True, False)
    """
    if style not in ("think", "no_think"):
        raise ValueError(f"Med-R1 has no format style {style!r}; expected think or no_think.")
    if not reply.endswith("</answer>"):
        return False
    closing = len(reply) - len("</answer>")
    if style == "no_think":
        start = len(reply) - len(reply.lstrip())
        return reply.startswith("<answer>", start) and start + len("<answer>") <= closing
    # lazy parts may span anything, so the first place where the reasoning can end decides
    turn = _MEDR1_TURN.search(reply, len("<think>"))
    return reply.startswith("<think>") and turn is not None and turn.end() <= closing


def _tagged_parts(reply: str, style: str) -> dict[str, float]:
    answer = _inside(reply, "answer")
    if style == "no_think":
        free = answer is not None and _THINK_TAG.search(reply) is None
        found = {"answer": answer is not None, "no_thought": free}
    else:
        thought = _inside(reply, "think")
        order = thought is not None and answer is not None and thought[1] <= answer[0]
        found = {"thought": thought is not None, "answer": answer is not None, "order": order}
    found["alone"] = format_ok(reply, style)
    return {name: float(there) for name, there in found.items()}


def _inside(reply: str, tag: str) -> tuple[int, int] | None:
    """Where the one pair of tags that has something inside starts and ends; None without it, or with several."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    if reply.count(opening) != 1 or reply.count(closing) != 1:
        return None
    start, end = reply.index(opening), reply.index(closing)
    return (start, end + len(closing)) if reply[start + len(opening) : end].strip() else None


def _json_parts(reply: str, keys: Sequence[str]) -> dict[str, float]:
    text = reply.strip()
    fenced = _FENCED.search(text)
    inside = (fenced[1] if fenced else text).strip()
    alone = fenced is None or fenced.span() == (0, len(text))
    try:
        value = parse_json(inside) if inside[:1] in ("{", "[") else None
    except JsonFault:
        value = None
    there = value is not None and value != {}  # an empty list is an answer ("no box"), an empty object is none
    parts = {"json": float(there)}
    if wanted := {key.strip().lower() for key in keys}:
        items = value if isinstance(value, list) else [value]
        held = [len(wanted & item.keys()) / len(wanted) if isinstance(item, dict) else 0.0 for item in items]
        parts["keys"] = float(there) * (sum(held) / len(held) if held else 1.0)
    return {**parts, "alone": float(there and alone)}


def _boxed_parts(reply: str) -> dict[str, float]:
    commands = list(_BOXED.finditer(reply))
    end = _closing_brace(reply, commands[0].end()) if len(commands) == 1 else None
    answer = end is not None and bool(reply[commands[0].end() : end].strip())
    tags = [tag[0] for tag in _THINK_TAG.finditer(reply, 0, commands[0].start() if commands else len(reply))]
    last = answer and end is not None and _AFTER_BOX.match(reply, end + 1) is not None
    return {
        "answer": float(answer),
        "outside": float(answer and tags in ([], ["<think>", "</think>"])),
        "last": float(last),
    }


def _closing_brace(text: str, start: int) -> int | None:
    """The brace that closes the one opened before `start`; an escaped brace is none."""
    depth = 1
    for brace in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return brace.start()
    return None
