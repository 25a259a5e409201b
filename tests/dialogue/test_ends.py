"""The end of an action in several tokens: found with the token that completes it, however the text is cut into tokens."""

import random

import chat_models
import pytest
from dialogues import odd_ids, spelled

END = "</grounding>"


@pytest.mark.parametrize("family", chat_models.FAMILIES)
def test_a_reply_ends_with_the_token_that_completes_the_text_and_not_before(family):
    made, rng = chat_models.builder(family), random.Random(0)
    end = made.action_end(END)
    for _ in range(60):
        ids = odd_ids(rng, made) + spelled(rng, made, 'see {"x": 1}' + END + rng.choice(["", ">", "\n\n", ">>", " é"]))
        ids += odd_ids(rng, made) + spelled(rng, made, END)
        first = next(length for length in range(1, len(ids) + 1) if END in made.decode(ids[:length]))
        assert [length for length in range(1, first + 1) if end.ends(ids[:length])] == [first] and end.cut(ids) == first


@pytest.mark.parametrize("text", ["</grounding", "<grounding>", "</ grounding>", "", ">>>>"])
def test_what_is_no_end_ends_nothing(text):
    made = chat_models.builder("qwen2_vl")
    ids = spelled(random.Random(1), made, text)
    assert not made.action_end(END).ends(ids) and made.action_end(END).cut(ids) == len(ids)
