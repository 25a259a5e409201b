"""What is trained on is what was said and shown, token by token: 1,000 scripted dialogues with odd bytes, 4 chat templates.

The few here run in a second or two; all of them with `pytest -m cluster tests/rollout/test_exact_tokens.py`.
"""

import random
import unicodedata

import chat_models
import pytest
from dialogues import play

FEW, ALL = 6, 250  # of each family: a thousand in all


def conversation(made, played, interaction, decode):
    """The whole dialogue as a chat template takes it, the replies as their tokens read."""
    question = made.style.messages(played.prompt.sample)[-1]["content"]
    pictures = question.count("<image>")
    assert question.startswith("<image>" * pictures)
    shown = [{"type": "image"}] * pictures
    turns = [
        {"role": "user", "content": [*shown, {"type": "text", "text": question.removeprefix("<image>" * pictures)}]}
    ]
    place = 0
    for turn in played.turns:
        own = played.token_ids[place : place + turn.tokens[0]]
        turns.append({"role": "assistant", "content": decode(own)})
        place += sum(turn.tokens)
        if turn.observation is not None:
            text = unicodedata.normalize("NFC", interaction.wrapped(turn.observation))  # as Qwen's tokenizers have it
            turns.append(
                {"role": "user", "content": [{"type": "image"}] * turn.images + [{"type": "text", "text": text}]}
            )
    return turns


def one_token_a_picture(made, text):
    """A decoded dialogue with its pictures as the template writes them."""
    token, twice = made.image_token, made.image_token * 2
    while twice in text:
        text = text.replace(twice, token)
    return text.replace(made.before_image + token + made.after_image, token)


def check(made, played, said, interaction):
    eos = made.tokenizer.eos_token_id
    decode = lambda ids: made.tokenizer.decode(ids, clean_up_tokenization_spaces=False)  # noqa: E731
    assert len(played.token_ids) == len(played.mask) == len(played.logprobs) and not played.missing
    assert set(zip(played.mask, played.logprobs)) <= {(1, -0.5), (0, 0.0)}

    # the engine's tokens, untouched, with mask 1, and between them the environment's with mask 0
    place, heard = 0, []
    for turn, ids in zip(played.turns, said, strict=True):
        own, given = turn.tokens
        assert played.token_ids[place : place + own] == ids and played.mask[place : place + own] == [1] * own
        heard.append(played.token_ids[place + own : place + own + given])
        assert played.mask[place + own : place + own + given] == [0] * given
        place += own + given
    assert place == len(played.token_ids)

    # all of it reads as the chat template of the conversation
    turns = conversation(made, played, interaction, lambda ids: decode([index for index in ids if index != eos]))
    wanted = made.processor.apply_chat_template(turns, tokenize=False)
    if not heard[-1]:  # the last word was the model's
        wanted = wanted.removesuffix("\n") if said[-1][-1:] == [eos] else wanted.removesuffix("<|im_end|>\n")
    whole = decode([*played.prompt.token_ids, *played.token_ids])
    assert one_token_a_picture(made, whole) == wanted

    # a template piece has the tokens the tokenizer gives it, and of control tokens the template's own alone
    brackets = ["<img>", "</img>"] if made.family.tile_px else ["<|vision_start|>", "<|vision_end|>"]
    for turn, own, ids in zip(played.turns, said, heard):
        if turn.observation is None:
            continue
        control = [
            made.control_ids[index] for index in ids if index in made.control_ids and index != made.image_token_id
        ]
        end = [] if own[-1] == eos else ["<|im_end|>"]
        assert control == [*end, "<|im_start|>", *brackets * turn.images, "<|im_end|>", "<|im_start|>"]
        if not any(token in turn.observation for token in made.control_ids.values()):
            assert ids == made.tokenizer(decode(ids))["input_ids"]

    agree(made, played)
    return sum(made.tokenizer(decode(ids))["input_ids"] != ids for ids in said) > 0


def agree(made, played):
    """Every picture has its tokens and every image token its features."""
    whole = played.whole_prompt
    tokens = [*played.prompt.token_ids, *played.token_ids].count(made.image_token_id)
    features = 0 if whole.image_grid_thw is None else int(whole.image_grid_thw.prod(1).sum()) // 4
    assert tokens == features
    if whole.pixel_values is not None:
        rows = whole.image_grid_thw[:, 0] if made.family.tile_px else whole.image_grid_thw.prod(1)
        assert len(whole.pixel_values) == int(rows.sum())
    assert not any(own for index, own in zip(played.token_ids, played.mask) if index == made.image_token_id)


def run(family, numbers, cuts):
    """Play dialogues whole, check them, and once more with a random budget; returns what they held."""
    made = chat_models.builder(family)
    counts = dict.fromkeys(("turns", "pictures", "faults", "confirmed", "retokenised", "cut"), 0)
    for number in numbers:
        played, said, interaction = play(made, number)
        counts["retokenised"] += check(made, played, said, interaction)
        counts["turns"] += len(played.turns)
        counts["pictures"] += sum(turn.images for turn in played.turns)
        counts["faults"] += sum(turn.fault is not None for turn in played.turns)
        counts["confirmed"] += sum(turn.confirmed is not None for turn in played.turns)
        rng = random.Random(number)
        for budget in [rng.randint(1, len(played.token_ids)) for _ in range(cuts)]:
            short, said, interaction = play(made, number, budget)
            check(made, short, said, interaction)
            assert len(short.token_ids) <= budget
            assert short.token_ids == played.token_ids[: len(short.token_ids)], "the start of the same dialogue"
            counts["cut"] += short.end_reason == "length"
    return counts


@pytest.mark.parametrize("family", chat_models.FAMILIES)
def test_ids_are_the_engines_and_the_templates_and_read_as_the_conversation(family):
    counts = run(family, range(FEW), cuts=1)
    assert min(counts.values()) > 0, counts
    assert counts["retokenised"] > FEW // 2, "the replies are such that encoding them again would change them"


@pytest.mark.cluster
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", chat_models.FAMILIES)
def test_the_rest_of_a_thousand_dialogues(family):
    counts = run(family, range(FEW, ALL), cuts=2)
    print(family, counts)
    assert counts["retokenised"] > ALL // 2


@pytest.mark.parametrize("family", chat_models.FAMILIES)
def test_no_budget_parts_a_picture_from_its_tokens(family):
    made = chat_models.builder(family)
    played, _, _ = play(made, 0)
    step = max(7, len(played.token_ids) // 6)
    assert sum(turn.images for turn in played.turns) > 1
    for budget in range(1, len(played.token_ids) + step, step):
        agree(made, play(made, 0, budget)[0])
