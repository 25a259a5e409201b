"""Actions are read as they are commonly written, also where models get the writing wrong, and reading never fails."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrl.dialogue.actions import PROTOCOLS, Asked

CALL = '{"name": "zoom", "arguments": {"bbox_2d": [1, 2, 3, 4]}}'
ZOOM = Asked("zoom", {"bbox_2d": [1, 2, 3, 4]})


@pytest.mark.parametrize(
    "reply",
    [
        f"<think>there</think><tool_call>{CALL}</tool_call>",
        f"<tool_call>\n{CALL}\n</tool_call> and so on",
        f"<tool_call>{CALL}",  # the closing tag is missing
        f"<tool_call>```json\n{CALL}\n```</tool_call>",
        '<tool_call>{"name": "zoom", "arguments": {"bbox_2d": [1, 2, 3, 4,]},}</tool_call>',
        "<tool_call>{'name': 'zoom', 'arguments': {'bbox_2d': [1, 2, 3, 4]}}</tool_call>",
        '<tool_call>{"name": "zoom", "bbox_2d": [1, 2, 3, 4]}</tool_call>',
        '<tool_call>{"name": "zoom", "parameters": {"bbox_2d": [1, 2, 3, 4]}}</tool_call>',
        '<tool_call>{"name": "zoom", "arguments": "{\\"bbox_2d\\": [1, 2, 3, 4]}"}</tool_call>',
        f'<tool_call>{CALL}</tool_call><tool_call>{{"name": "other", "arguments": {{}}}}</tool_call>',
    ],
)
def test_hermes_is_read(reply):
    assert PROTOCOLS["hermes"].read(reply) == ZOOM


@pytest.mark.parametrize(
    "reply, fault",
    [
        ("<tool_call>zoom(1, 2)</tool_call>", "not a JSON object"),
        ("<tool_call>[1, 2]</tool_call>", "not a JSON object"),
        ('<tool_call>{"arguments": {}}</tool_call>', "no name"),
        ('<tool_call>{"name": 3, "arguments": {}}</tool_call>', "no name"),
        ('<tool_call>{"name": "zoom", "arguments": [1]}</tool_call>', "not a JSON object"),
        ("<tool_call></tool_call>", "not a JSON object"),
    ],
)
def test_what_cannot_be_read_is_a_fault_and_not_an_answer(reply, fault):
    assert fault in PROTOCOLS["hermes"].read(reply).fault


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("reply", ["", "<think>no</think><answer>B</answer>", "</tool_call>", "a tool_call of mine"])
def test_a_plain_answer_asks_for_nothing(name, reply):
    assert PROTOCOLS[name].read(reply) is None


@pytest.mark.parametrize(
    "source, wanted",
    [(None, 0), ("original_image", 0), ("observation_1", 1), ("observation_12", 12)],
)
def test_grounding_names_its_picture(source, wanted):
    body = {"bbox_2d": [0, 0, 5, 5], **({"source": source} if source else {})}
    found = PROTOCOLS["grounding"].read(f"<grounding>{json.dumps(body)}</grounding>")
    assert found == Asked("zoom", {"bbox_2d": [0, 0, 5, 5], "image": wanted})


@pytest.mark.parametrize(
    "source", ["observation", "observation_-1", "observation_1e3", 3, ["original_image"], "x" * 999]
)
def test_grounding_of_an_unknown_picture_is_a_fault(source):
    asked = PROTOCOLS["grounding"].read(
        f"<grounding>{json.dumps({'bbox_2d': [0, 0, 5, 5], 'source': source})}</grounding>"
    )
    assert "expected original_image" in asked.fault and len(asked.fault) < 200


def test_a_thought_with_an_action_and_one_with_an_answer():
    protocol = PROTOCOLS["thought_action"]
    act = json.dumps({"thought": "there", "actions": [{"name": "mark", "arguments": {"bbox_2d": [1, 2, 3, 4]}}]})
    assert protocol.read(act) == Asked("mark", {"bbox_2d": [1, 2, 3, 4]})
    end = json.dumps({"thought": "a mass", "actions": [{"name": "Terminate", "arguments": {"ans": "B"}}]})
    assert protocol.read(end) is None
    assert protocol.answer(end) == "<think>a mass</think><answer>B</answer>"
    assert protocol.answer(act) == act
    assert protocol.read('{"thought": "done", "actions": []}') is None
    assert "not one JSON object" in protocol.read('I will do {"actions": [').fault


def within(*values):
    """A call whose arguments are this JSON text."""
    return [f'<tool_call>{{"name": "zoom", "arguments": {value}}}</tool_call>' for value in values]


def test_numbers_that_no_float_holds_become_null():
    (reply,) = within('{"bbox_2d": [NaN, Infinity, -1e999, 4.5]}')
    assert PROTOCOLS["hermes"].read(reply) == Asked("zoom", {"bbox_2d": [None, None, None, 4.5]})


@pytest.mark.parametrize(
    "reply",
    within(
        '{"a": ' * 25 + "1" + "}" * 25,
        '{"a": ' * 900 + "1" + "}" * 900,
        '{"a": ' + "[" * 50 + "]" * 50 + "}",
        r'{"label": "\ud800"}',
    ),
)
def test_what_no_journal_can_hold_is_a_fault(reply):
    assert "not a JSON object" in PROTOCOLS["hermes"].read(reply).fault


def test_escapes_that_make_characters_are_read():
    (reply,) = within(r'{"label": "\ud83e\ude7b \u00e9"}')
    assert PROTOCOLS["hermes"].read(reply).arguments == {"label": "🩻 é"}


@pytest.mark.parametrize(
    "inside",
    [
        "{" + " " * 19_000 + "}",
        "{" + "\u3000" * 19_000 + "x",
        "{" + ", " * 9_000 + "}",
        "```" + " \n" * 9_000,
        "[" * 19_000,
        "'" * 19_000,
    ],
)
def test_no_reply_is_slow_to_read(inside):
    """4 to 9 seconds, before: a search for a closing fence began anew at every space."""
    start = time.perf_counter()
    for protocol in PROTOCOLS.values():
        for reply in (inside, f"<tool_call>{inside}</tool_call>", f"<grounding>{inside}</grounding>"):
            protocol.read(reply)
            protocol.answer(reply)
    assert time.perf_counter() - start < 1


PIECES = st.sampled_from(
    ["<tool_call>", "</tool_call>", "<grounding>", "</grounding>", '{"name": "zoom"', '"arguments": {', "}", "]", "[",
     '"bbox_2d": [1, 2, 3, 4]', '"actions": [', '"thought": "', "'", '"', "\\", "\x00", "é", "NaN", "1e999", "null", ",", ":",
     "<answer>B</answer>", "```json", "```", "{" * 2000, "[" * 100_000]
)  # fmt: skip


@settings(max_examples=400, deadline=None)  # tests/rollout/test_fuzz.py plays many more
@given(st.lists(st.one_of(PIECES, st.text(max_size=6)), max_size=14).map("".join))
def test_no_reply_raises_in_any_protocol(reply):
    for protocol in PROTOCOLS.values():
        asked = protocol.read(reply)
        assert asked is None or asked.fault or (asked.name and isinstance(asked.arguments, dict))
        assert isinstance(protocol.answer(reply), str)
