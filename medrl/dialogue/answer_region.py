"""Find where a reply answers: the format check, the answer regions, and the normal form in which their text is read.

Sections 1-3 of the grading rules. Nothing here knows what kind of answer is wanted, nothing raises on any reply, and
every scan is one pass: possessive quantifiers and stacks, so that a hostile 100 kB reply costs milliseconds.
"""

import operator
import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeVar

from medrl.dialogue.answer_json import is_json

Value = TypeVar("Value")

WHOLE_TEXT_WORDS = 12  # a reply without tag, box, fence or cue is itself the answer up to this length
MAX_REPLACES = 12  # signs replaced one by one; more are cheaper in one go
MAX_REGIONS = 200  # a reply with more answers, each worded differently, is noise

_TAGS_OF_STYLE = {
    "think": ("<think>", "</think>", "<answer>", "</answer>"),
    "no_think": ("<answer>", "</answer>"),
}
_FOREIGN_TAGS = {"think": (), "no_think": ("<think>", "</think>")}

# (?a:) keeps the dotless i and the long s of other alphabets from reading as letters of a tag
_TAG = re.compile(r"<\s*+(?P<close>/?+)\s*+(?P<name>(?a:think|answer))\s*+>", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\s*+(?=\{)")
_COMMAND = re.compile(r"\\(?:boxed|text|mathrm)\s*+(?=\{)")
_BRACE = re.compile(r"\\[\\{}]|[{}]")  # an escaped brace is no brace
_FENCE = re.compile(r"`{3,}+")
_INFO_STRING = re.compile(r"[^\S\n]*+[\w+.#-]*+[^\S\n]*+\n|\s*+json(?=[\s{\[])")
_DOLLARS = re.compile(r"\$\$?+([^$]++)\$\$?+")
_CUE = re.compile(r"(?<!\w)answer(?: is(?!\w) ?:?| ?:)", re.IGNORECASE)


def format_ok(reply: str, style: str = "think") -> bool:
    """True when the stripped reply is exactly what the prompt style asks for: each tag once, nothing blank.

    `think`: `<think>T</think>` and `<answer>A</answer>`, blanks allowed between; `no_think`: the second alone.

    >>> format_ok("<think>dense bone</think> <answer>B</answer>"), format_ok("<answer>B</answer>", style="no_think")
    (True, True)
    >>> format_ok("<think>dense bone</think><answer> </answer>"), format_ok("<answer>B</answer>")
    (False, False)
    """
    if style not in _TAGS_OF_STYLE:
        raise ValueError(f"format style {style!r} is unknown; expected one of {', '.join(_TAGS_OF_STYLE)}.")
    text = reply.strip()
    once, never = _TAGS_OF_STYLE[style], _FOREIGN_TAGS[style]
    if any(text.count(tag) != 1 for tag in once) or any(tag in text for tag in never):
        return False
    # what stands before, between and after the tags, in the order they must have: "", T, blanks, A, ""
    parts = []
    for tag in once:
        part, found, text = text.partition(tag)
        if not found:  # the tags are there, but in another order
            return False
        parts.append(part.strip())
    parts.append(text)
    return all((part == "") == (position % 2 == 0) for position, part in enumerate(parts))


def answer_regions(reply: str) -> list[str] | None:
    """The pieces of a reply that each state the answer, or None when it has none.

    Reasoning is removed first; then `<answer>` blocks, else boxed values, else code fences, else the lines after
    "answer is" or "answer:", else a short whole text. A piece may be blank: it is then a place that gives no answer.

    >>> answer_regions("<think>A?</think><answer>B</answer> or <ANSWER> b </ANSWER>")
    ['B', ' b ']
    >>> answer_regions("My answer is: B."), answer_regions("<think>only thought")
    ([' B.'], None)
    """
    text = without_reasoning(reply)
    blocks = _blocks(text)
    if blocks is not None:
        return [block for block in blocks if normalise(block)] or None
    marked = _boxed(text) or _fenced(text)
    if marked:
        return marked
    plain = normalise(text)
    if cued := _cued(plain):
        return cued
    is_short = 0 < len(plain.split()) <= WHOLE_TEXT_WORDS
    return [text] if is_short or is_json(plain) else None


def agreed(
    reply: str, read: Callable[[str], Value | None], same: Callable[[Value, Value], bool] = operator.eq
) -> Value | None:
    """The value that `read` finds in every region of the reply, or None when one gives none or another one.

    `same` says when two values are one; the first is returned.

    >>> agreed("<answer>7</answer><answer>7.</answer>", lambda region: region.strip(" ."))
    '7'
    """
    agreed_value: Value | None = None
    regions = dict.fromkeys(answer_regions(reply) or ())
    if len(regions) > MAX_REGIONS:
        return None
    for region in regions:
        value = read(unwrap(region))
        if value is None or (agreed_value is not None and not same(agreed_value, value)):
            return None
        agreed_value = value if agreed_value is None else agreed_value
    return agreed_value


def unwrap(region: str) -> str:
    r"""The region with \boxed{X}, \text{X}, \mathrm{X}, $X$ and code fences replaced by X.

    Blanks take the wrapper's place, so that two boxed digits do not become one number.

    >>> unwrap(r"$\boxed{\text{B}}$").strip()
    'B'
    """
    pieces, end = [], 0
    for start, after, content in _fences(region):
        pieces += [region[end:start], "\n", content, "\n"]
        end = after
    text = "".join([*pieces, region[end:]])
    return _DOLLARS.sub(r" \1 ", _without_commands(text))


@lru_cache(maxsize=8)  # several rewards read one reply, and each looks at a region more than once
def normalise(text: str) -> str:
    """The plain form in which every kind reads text. Case is kept (an upper-case `A` means more than an `a`).

    NFKC, invisible characters dropped, straight quotes, one kind of dash, no markdown emphasis, single blanks, line
    breaks kept. Letters of other alphabets that look Latin stay what they are.

    >>> normalise("**Ⓑ**  –  “ground\u200bglass”"), normalise("bbox_2d: 5**7")
    ('B - "groundglass"', 'bbox_2d: 5*7')
    """
    if not text.isascii():
        text = _RAISED_DIGIT.sub("^", _JOINING_EM_DASH.sub(" - ", text))
        text = _replaced(text, _BEFORE_NFKC)
        text = _PIECES.sub(lambda run: unicodedata.normalize("NFKC", run[0]), text)
        text = _replaced(text, _PLAIN)
    is_plain = text.isascii() and text.replace("\n", "").isprintable()  # no tab, no control character
    if not is_plain:
        text = _CONTROL.sub("", _LINE_BREAK.sub("\n", text))
    if any(mark in text for mark in "*_`"):
        text = _EMPHASIS.sub("", text)
    if not is_plain or "  " in text:
        text = _BLANKS.sub(" ", text)
    return (_BLANKS_AT_BREAK.sub("\n", text) if "\n" in text else text).strip()


def _replaced(text: str, table: Mapping[int, str | None]) -> str:
    """As `text.translate(table)`, which costs 100 ns a character, for the few signs of the table a text holds."""
    present = set(text) & _SIGNS
    if len(present) > MAX_REPLACES:
        return text.translate(table)
    for sign in present:
        text = text.replace(sign, table.get(ord(sign), sign) or "")
    return text


def without_reasoning(reply: str) -> str:
    """The reply without closed think parts, then without an unclosed one to the end, then all before a stray close."""
    if "think" not in reply.lower():  # most floods of "<" are seen through here
        return reply
    kept, start = [], 0
    opened: int | None = None
    for tag in _TAG.finditer(reply):
        if tag["name"].lower() != "think":
            continue
        if not tag["close"]:
            opened = tag.start() if opened is None else opened
        elif opened is not None:
            kept.append(reply[start:opened])
            start, opened = tag.end(), None
        else:
            kept.clear()
            start = tag.end()
    return "".join([*kept, reply[start:opened]])


def _blocks(text: str) -> list[str] | None:
    """The contents of the answer tags, other tags inside them dropped; None when the text has no answer tag."""
    if "answer" not in text.lower():
        return None
    blocks, has_open = [], False
    opened: int | None = None
    last_stray_close: int | None = None
    for tag in _TAG.finditer(text):
        if tag["name"].lower() != "answer":
            continue
        if not tag["close"]:
            has_open = True
            opened = tag.end() if opened is None else opened
        elif opened is not None:
            blocks.append(text[opened : tag.start()])
            opened = None
        else:
            last_stray_close = tag.start()
    if opened is not None:
        blocks.append(text[opened:])
    if not has_open:
        if last_stray_close is None:
            return None
        blocks = [text[:last_stray_close]]
    # a blank for a dropped tag: `1<answer>2` must not read as 12
    return [_TAG.sub(" ", block) if "<" in block and ">" in block else block for block in blocks]


def _boxed(text: str) -> list[str]:
    """The contents of each outermost \\boxed{…}; one that is never closed has no content."""
    commands = list(_BOXED.finditer(text)) if "}" in text else []
    closing = _closing_braces(text) if commands else {}
    contents, end = [], 0
    for command in commands:
        brace = command.end()
        if brace >= end and brace in closing:  # one inside another is unwrapped with it
            end = closing[brace]
            contents.append(text[brace + 1 : end])
    return contents


def _fenced(text: str) -> list[str]:
    return [content for _, _, content in _fences(text)]


def _cued(plain: str) -> list[str]:
    """The rest of the line after each "answer is" or "answer:".

    Of several cues in one line the first and the last are kept: what any cue between them sees, the first sees too,
    and must hold what the last sees; so they decide alike, without quadratic work on a looping reply.
    """
    if "answer" not in plain.lower():
        return []
    lines: list[list[int]] = []  # of each line the ends of its first and of its last cue, and its own
    line_end = -1
    for cue in _CUE.finditer(plain):
        end = cue.end()
        if end <= line_end:
            lines[-1][1] = end
            continue
        line_end = plain.find("\n", end)
        line_end = len(plain) if line_end < 0 else line_end
        lines.append([end, end, line_end])
    return [plain[start:line_end] for *starts, line_end in lines for start in dict.fromkeys(starts)]


def _fences(text: str) -> list[tuple[int, int, str]]:
    """Start, end and content of each closed code fence; the language named in its first line is no content."""
    marks = list(_FENCE.finditer(text))
    found = []
    for opening, closing in zip(marks[::2], marks[1::2]):
        content = text[opening.end() : closing.start()]
        info = _INFO_STRING.match(content)
        found.append((opening.start(), closing.end(), content[info.end() :] if info else content))
    return found


def _without_commands(text: str) -> str:
    commands = list(_COMMAND.finditer(text)) if "}" in text else []
    if not commands:
        return text
    closing = _closing_braces(text)
    cuts = []
    for command in commands:
        if command.end() in closing:
            cuts += [(command.start(), command.end() + 1), (closing[command.end()], closing[command.end()] + 1)]
    pieces, start = [], 0
    for cut_start, cut_end in sorted(cuts):
        pieces.append(text[start:cut_start])
        start = cut_end
    return " ".join([*pieces, text[start:]])


def _closing_braces(text: str) -> dict[int, int]:
    """Position of each opening brace to that of its partner."""
    stack: list[int] = []
    partner: dict[int, int] = {}
    if "}" not in text:
        return partner
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            stack.append(brace.start())
        elif brace[0] == "}" and stack:
            partner[stack.pop()] = brace.start()
    return partner


# Two things NFKC and "all dashes alike" would make worse: 10⁶ would become 106, and "no—it is clear" a word "no-it".
_RAISED_DIGIT = re.compile("(?<=[0-9])(?=[⁰¹²³⁴-⁹⁻₀-₉])")
_JOINING_EM_DASH = re.compile(r"[—―](?<=\w.)(?=\w)")
# quotes come before NFKC, which would turn a lone acute accent into a blank and a combining mark
_QUOTES = str.maketrans(dict.fromkeys("‘’‚‛′´ʹʼ", "'") | dict.fromkeys("“”„‟«»″", '"'))
_BEFORE_NFKC = _QUOTES | dict.fromkeys(
    map(ord, "ﷺﷻ"), " "
)  # Arabic phrases that NFKC spells out in up to 18 characters each
_DASHES = "\u058a\u05be\u1806‐‑‒–—―⁃−⸗⸚⸺⸻⹀〜〰゠"
_INVISIBLE = [
    0xAD, 0x34F, 0x61C, 0x115F, 0x1160, *range(0x17B4, 0x17B6), *range(0x180B, 0x1810), *range(0x200B, 0x2010),
    *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x2800, 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0,
    *range(0xFFF9, 0xFFFC), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000),
]  # fmt: skip
_PLAIN = str.maketrans(dict.fromkeys(_DASHES, "-") | {"⁄": "/", "∕": "/"}) | _QUOTES | dict.fromkeys(_INVISIBLE)
_SIGNS = set(map(chr, _BEFORE_NFKC | _PLAIN))
# In pieces, because NFKC sorts a run of combining marks in quadratic time: 100 kB of them would take seconds. Unicode's
# own stream-safe format allows 30 in a row. A piece holds many short runs with the ASCII between them: a call for each
# of 75,000 dashes takes a tenth of a second.
_PIECES = re.compile(r"[\x00-\x7f]*+(?:(?:[^\x00-\x7f]{1,32}+[\x00-\x7f]++){0,255}[^\x00-\x7f]{1,32}|\Z)")
_LINE_BREAK = re.compile(r"[\r\v\f\x1c-\x1e\x85\u2028\u2029](?:(?<=\r)\n)?")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x9f]")
# `*`, `_` and backticks go, except between two digits or two blanks (a product) and `_` between word characters
# (it begins with what it looks for, and looks behind from there: ten times faster than a lookbehind at every character)
_EMPHASIS = re.compile(
    r"[*_`](?:(?<=[*`])(?:(?<![0-9\s].)[*`]*+|(?<=[0-9].)[*`]*+(?![0-9])|(?<=\s.)[*`]*+(?!\s))"
    r"|(?<=_)(?:(?<![^\W_].)_*+|_*+(?![^\W_])))",
    re.DOTALL,
)
_BLANKS = re.compile(r"(?: (?=[^\S\n])|[^\S\n ])[^\S\n]*+")  # a single blank stays as it is
_BLANKS_AT_BREAK = re.compile(r" \n ?|\n ")
