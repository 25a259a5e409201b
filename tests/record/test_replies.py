"""A row of an attempt becomes what the page shows of it: one reply, or a whole conversation."""

from medrl.record.replies import conversation, view_reply

CALL = '<think>there</think><tool_call>{"name": "zoom"}</tool_call>'
ANSWER = "<think>rows</think><answer>A</answer>"


def row(*turns, **more):
    return {"step": 3, "attempt": 1, "reply": ANSWER, "scores": {"answer/score": 1.0}, "turns": list(turns), **more}


def turn(text, images=0, observation=None):
    return {"text": text, "images": images, "observation": observation}


def test_all_turns_are_shown_with_what_came_between_them():
    given = row(turn(CALL, 1, ""), turn(CALL, 0, "Error: <b>no</b>"), turn(ANSWER))
    assert conversation(given) == f"{CALL}\n[environment: 1 picture]\n{CALL}\n[environment: Error: <b>no</b>]\n{ANSWER}"
    seen = view_reply(given, "answer/score")
    assert "".join(text for _, text in seen.parts) == conversation(given)
    assert [text for kind, text in seen.parts if kind == "answer"] == ["A"]
    assert ("call", '{"name": "zoom"}') in seen.parts and seen.verdict == "right" and seen.gist == "A"


def test_a_row_without_turns_or_with_odd_ones_shows_its_reply():
    for odd in ({}, {"turns": None}, {"turns": "x"}, {"turns": [1, 2]}):
        assert conversation({"reply": ANSWER, **odd}) == ANSWER
    assert conversation(row(turn(None), turn(ANSWER, "many", 7))) == f"\n{ANSWER}\n[environment: 7]"
