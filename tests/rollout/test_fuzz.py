"""Whatever a model writes: no exception, and nothing earned for an action that was not done."""

import json
import random

import pytest
from fuzzing import environments, fuzz, reply, sample
from makers import tiny
from playing import ANSWER, making, play

from medrl.record.run import rollout_row
from medrl.rollout.interaction import load_interaction


@pytest.mark.parametrize("seed", [1])
def test_odd_replies_through_the_parser_and_every_environment(seed, tmp_path):
    found = fuzz(1500, seed)
    for name in environments(tmp_path):
        assert found[f"{name}: confirmed"] >= 3 and found[f"{name}: refused"] >= 500, "the replies test too little"
    for way in ("hermes", "thought_action", "grounding"):
        assert min(found[f"{way}: {kind}"] for kind in ("read", "unreadable", "no action")) >= 50


@pytest.mark.parametrize("action_format", ["hermes", "thought_action", "grounding"])
def test_whole_episodes_of_odd_replies_can_be_journalled(action_format, tmp_path):
    """Tokens and pictures agree, every turn is accounted for, and the row for the journal is JSON in any reader."""
    made, rng, confirmed = making(tiny()), random.Random(2), 0
    section = environments(tmp_path)["toolbox.py:ToolboxEnv"]
    section.action_format, section.max_turns = action_format, 6
    interaction = load_interaction(section)
    for _ in range(12):
        odd = [text for text in (reply(rng) for _ in range(30)) if "<|" not in text and interaction.protocol.read(text)]
        played = play(made, [*odd[:5], ANSWER], interaction, sample(), budget=2000)
        tokens = sum(token == made.tokenizer.convert_tokens_to_ids(made.image_token) for token in played.token_ids)
        grid = played.whole_prompt.image_grid_thw[1:]
        assert tokens == int(grid.prod(1).sum()) // 4
        assert len(played.token_ids) == len(played.mask) == sum(sum(turn.tokens) for turn in played.turns)
        for turn in played.turns:
            assert turn.confirmed is None or turn.fault is None
        confirmed += sum(turn.confirmed is not None for turn in played.turns)
        json.dumps(rollout_row(played, 0), ensure_ascii=False, allow_nan=False).encode()
    assert confirmed >= 3


@pytest.mark.cluster  # a minute or two; a hundred thousand are five times that: python tests/fuzzing.py 100000
@pytest.mark.timeout(3600)
def test_twenty_thousand_odd_replies():
    fuzz(20_000, seed=0)
