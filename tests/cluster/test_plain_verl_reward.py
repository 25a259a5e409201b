"""Our reward files under plain verl: its own loader takes each, and gives what medrl's gives."""

import asyncio
import inspect

import pytest

from medrl.plugin import SHIPPED, load_plugin

pytestmark = pytest.mark.cluster
OTHERS = {"adaptive_tool", "curiosity", "report_models", "similarity"}  # score groups, or need a model to say anything
FILES = sorted(path for path in (SHIPPED / "rewards").glob("*.py") if path.stem not in OTHERS)


def example_of(path):
    """The file's EXAMPLE and compute_score."""
    module = vars(inspect.getmodule(load_plugin(f"{path}", "compute_score").target))
    return module["EXAMPLE"], module["compute_score"]


def verls(path, kwargs):
    """The function that verl's trainer calls for `reward.custom_reward_function`."""
    from omegaconf import OmegaConf
    from verl.trainer.ppo.reward import get_custom_reward_fn

    given = {"path": str(path), "name": "compute_score", "reward_kwargs": kwargs}
    return get_custom_reward_fn(OmegaConf.create({"reward": {"custom_reward_function": given}}))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_verls_loader_takes_our_files(path):
    example, ours = example_of(path)
    kwargs = example.get("kwargs", {})
    function = verls(path, kwargs)
    scores = []
    for reply in (example["right"], example["wrong"]):
        given = {
            "data_source": "example", "solution_str": reply, "ground_truth": example["ground_truth"],
            "extra_info": example["extra_info"],
        }  # fmt: skip
        theirs, wanted = function(**given), ours(**given, **kwargs)
        if inspect.isawaitable(theirs):
            theirs, wanted = asyncio.run(_both(theirs, wanted))
        assert theirs == wanted and "score" in theirs
        scores.append(theirs["score"])
    assert scores[0] >= scores[1]


async def _both(theirs, wanted):
    return await theirs, await wanted
