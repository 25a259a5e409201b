"""Control tokens: known by id in every family, banned, found in replies, and plain text where text merely spells them."""

import chat_models
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import tiny

from medrl.dialogue.control import control_tokens, forbidden_ids, is_vision, plain_pieces


@pytest.mark.parametrize("family", chat_models.FAMILIES)
def test_all_that_stands_for_pixels_or_turns_is_banned_but_what_ends_a_reply(family):
    words = chat_models.tokenizer(family)
    stops = words.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    banned = {words.convert_ids_to_tokens(index) for index in forbidden_ids(words, stops, len(words) + 3)}
    assert set(chat_models.SPECIAL[family]) - {"<|im_end|>", "<|endoftext|>"} == banned - {None}
    assert not banned & set(chat_models.PLAIN[family]), "a call is text and may be said"
    assert {len(words), len(words) + 2} <= set(forbidden_ids(words, stops, len(words) + 3))


@pytest.mark.parametrize("family", chat_models.FAMILIES)
@pytest.mark.parametrize("ended", [True, False])
def test_every_control_token_is_found_wherever_it_stands(family, ended):
    made = chat_models.builder(family)
    for index, token in made.control_ids.items():
        assert made.forbidden_in([5, index, 6], ended) == token
        last = made.forbidden_in([5, 6, index], ended)
        assert last == (None if ended and not is_vision(token) else token)
    assert made.forbidden_in([5, 6, 7], ended) is None


def test_a_token_that_stands_for_pixels_ends_no_reply():
    pixels = {*chat_models.VISION, "<img>", "</img>", "<IMG_CONTEXT>", "<video>"}
    known = {token for family in chat_models.FAMILIES for token in chat_models.builder(family).control_ids.values()}
    assert {token for token in known if is_vision(token)} == pixels
    made = chat_models.builder("internvl")
    context, end = made.image_token_id, made.tokenizer.eos_token_id
    assert made.forbidden_in([5, context], ended=True) == "<IMG_CONTEXT>" and made.forbidden_in([5, end], True) is None


TOKENS = control_tokens(chat_models.tokenizer("internvl")).values()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*TOKENS, "<", "|", "im_end|>", "ä", " ", "\n", "<|im_"]), max_size=8).map("".join))
def test_the_pieces_of_a_text_are_the_text_and_spell_no_control_token(text):
    pieces = plain_pieces(text, TOKENS)
    assert "".join(pieces) == text
    assert not any(token in piece for piece in pieces for token in TOKENS)
    words = chat_models.tokenizer("internvl")
    ids = [index for piece in pieces for index in words(piece)["input_ids"]]
    assert words.decode(ids, clean_up_tokenization_spaces=False) == text
    assert not set(ids) & set(control_tokens(words))


def test_the_tiny_models_control_tokens():
    loaded = tiny()
    assert set(control_tokens(loaded.processor.tokenizer)) - loaded.policy.stop_ids <= set(
        loaded.policy.forbidden_ids.tolist()
    )
