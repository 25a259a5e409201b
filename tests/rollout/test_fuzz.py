"""Whatever a model writes: no exception, and nothing earned for an action that was not done."""

import pytest
from fuzzing import environments, fuzz


@pytest.mark.parametrize("seed", [1])
def test_odd_replies_through_the_parser_and_every_environment(seed, tmp_path):
    found = fuzz(2000, seed)
    for name in environments(tmp_path):
        assert found[f"{name}: confirmed"] >= 5 and found[f"{name}: refused"] >= 500, "the replies test too little"
    for way in ("hermes", "thought_action", "grounding"):
        assert min(found[f"{way}: {kind}"] for kind in ("read", "unreadable", "no action")) >= 50


@pytest.mark.cluster  # minutes
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_odd_replies():
    fuzz(100_000, seed=0)
