"""Engine `verl` computes what engine `local` computes: the same rollouts give the same advantages and the same weights.

recorded.py lets engine local train on sampled rollouts and then replays these through the real verl trainer, Ray and FSDP
workers, on a Ray cluster of two nodes on this machine. Largest differences seen: 5e-6 after four steps in one minibatch,
1.2e-5 after two steps of two minibatches, 1e-6 between one worker and two, none between an unbroken run and a resumed one.
A step changes the weights by 1e-3.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cluster_runs import ROOT
from safetensors.torch import load_file

from medrl.learning.advantages.gdpo import gdpo
from medrl.learning.estimator import load_estimator
from medrl.recipe import Algorithm

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1100)]
SAME_IN_BOTH = (
    "reward/mean", "reward/length/score", "reward/among/score", "group/zero_spread", "reward/missing", "optimizer/lr",
    "optimizer/grad_norm", "policy/entropy", "policy/kl", "policy/clip_fraction", "policy/loss", "rollout/length",
    "data/replayed",
)  # fmt: skip
SHAPING = tuple(f"advantage/{name}" for name in ("uncertainty", "reference", "weight_mean", "weight_max"))


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parity")
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONDONTWRITEBYTECODE", "RAY_ADDRESS")
    }
    environment["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    script = Path(__file__).with_name("recorded.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], cwd=ROOT, env=environment, timeout=1000, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return folder


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    found = load_file(run / "checkpoints" / f"global_step_{step}" / "model" / "model.safetensors")
    return {name: value for name, value in found.items() if name != "lm_head.weight"}  # tied to the embeddings


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def entries(run: Path) -> dict[int, dict]:
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {entry["step"]: entry for entry in found if entry["stage"] == "grpo" and entry["step"] > 0}


def stored(run: Path, step: int) -> dict[tuple[str, int], dict]:
    lines = (run / "rollouts" / f"step_{step:06d}.jsonl").read_text().splitlines()
    return {(row["sample_id"], row["attempt"]): row for row in map(json.loads, lines)}


def trainer(run: Path, step: int) -> dict:
    return json.loads((run / "checkpoints" / f"global_step_{step}" / "trainer.json").read_text())


@pytest.mark.parametrize("name", ["whole", "halves", "shaped", "sequence", "filtered"])
def test_recorded_rollouts_get_the_same_advantages(replayed, name):
    ours = json.loads((replayed / "cluster" / name / "advantages.json").read_text())
    theirs = json.loads((replayed / "local" / name / "advantages.json").read_text())
    assert ours.keys() == theirs.keys() and len(ours) >= 32
    missing = 0
    for place, wanted in theirs.items():
        given = ours[place]
        if wanted is None:  # no score, or masked: no advantage, and no token that the loss looks at
            missing += 1
            assert not any(given["advantages"]) and not any(given["mask"]), place
            continue
        assert all(given["mask"]) and given["advantages"] == pytest.approx([wanted] * len(given["mask"]), abs=1e-6)
    assert missing, (
        "in `whole` and `shaped` some replies have no score, in the others those that a limit ended are masked"
    )
    assert len({wanted for wanted in theirs.values() if wanted}) > 8


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "rloo"])
def test_the_estimators_registered_with_verl_are_the_same_functions(name):
    from medrl.cluster.estimators import token_level

    generator = torch.Generator().manual_seed(0)
    rewards, mask = torch.zeros(12, 5), (torch.rand(12, 5, generator=generator) > 0.3).float()
    mask[:, 0] = 1
    rewards[:, 0] = torch.rand(12, generator=generator)
    groups = np.array([f"group-{row % 3}" for row in range(12)], dtype=object)
    estimator = load_estimator(Algorithm(advantage=name))
    spread, _ = token_level(estimator)(token_level_rewards=rewards, response_mask=mask, index=groups)
    wanted = estimator.function(rewards.sum(1), torch.arange(12) % 3)
    torch.testing.assert_close(spread, wanted[:, None] * mask, atol=1e-6, rtol=0)


def test_gdpo_is_verls_where_every_reply_has_one_token():
    """verl's deviation is over tokens and ours over replies, so the two are one where every reply is as long."""
    from types import SimpleNamespace

    from verl.trainer.ppo.core_algos import get_adv_estimator_fn

    from medrl.cluster.estimators import register_all

    generator = torch.Generator().manual_seed(3)
    count, size = 24, 4
    values = torch.rand(count, 3, generator=generator) * torch.tensor([100.0, 1.0, 0.01])
    values[:size, 1] = 0.1  # one component is equal in one group
    groups, weights = torch.arange(count) // size, [1.0, 0.25, -2.0]
    keys = ["answer/score", "format/score", "tool/score"]
    config = {"gdpo_reward_keys": keys, "gdpo_reward_weights": weights}
    theirs, _ = get_adv_estimator_fn("gdpo")(
        token_level_rewards=torch.zeros(count, 1),
        response_mask=torch.ones(count, 1),
        index=np.array([f"group-{group}" for group in groups], dtype=object),
        config=SimpleNamespace(get=config.get),
        non_tensor_batch={key: values[:, number].numpy() for number, key in enumerate(keys)},
        batch={"prompts": torch.zeros(count, 2), "attention_mask": torch.ones(count, 3, dtype=torch.int64)},
    )
    ours = gdpo(values, torch.tensor(weights), groups, 1e-6)
    torch.testing.assert_close(ours[:, None], theirs, atol=2e-5, rtol=0)
    assert ours.std() == pytest.approx(1.0, abs=1e-4)
    register_all()
    register_all()  # as where an engine has been there before
    with pytest.raises(ValueError, match="needs components"):
        get_adv_estimator_fn("medrl_gdpo")(token_level_rewards=None, response_mask=None, index=None, config=None)


@pytest.mark.parametrize(
    ("name", "steps", "tolerance"),
    [("whole", 4, 3e-5), ("halves", 2, 8e-5), ("shaped", 4, 3e-5), ("sequence", 2, 8e-5), ("filtered", 3, 8e-5)],
)
def test_updates_on_the_same_rollouts_give_the_same_weights(replayed, name, steps, tolerance):
    ours, theirs = replayed / "cluster" / name, replayed / "local" / name
    assert largest_difference(weights(ours, 0), weights(theirs, 0)) == 0
    for step in range(1, steps + 1):
        assert largest_difference(weights(ours, step), weights(theirs, step)) < tolerance, step
    assert largest_difference(weights(ours, steps), weights(ours, 0)) > 20 * tolerance


@pytest.mark.parametrize(("name", "more"), [("whole", ()), ("shaped", SHAPING)])
def test_both_journals_tell_the_same_of_these_updates(replayed, name, more):
    ours, theirs = entries(replayed / "cluster" / name), entries(replayed / "local" / name)
    assert ours.keys() == theirs.keys() == {1, 2, 3, 4}
    for step, entry in theirs.items():
        for name in (*SAME_IN_BOTH, *more):
            assert ours[step][name] == pytest.approx(entry[name], rel=1e-3, abs=1e-6), (step, name)
        assert ours[step]["policy/engine_gap_max"] < 1e-5, "the actor gives the replies another probability"
    assert sum(entry["data/replayed"] for entry in theirs.values()) > 0
    assert theirs[4]["policy/kl"] > 0.01 and all(entry["optimizer/grad_norm"] > 0.2 for entry in theirs.values())


@pytest.mark.parametrize("name", ["halves", "sequence"])
def test_both_journals_tell_the_same_of_what_several_minibatches_have_in_common(replayed, name):
    """Of the other measures, those of a later minibatch are taken before the first change here, and during it there."""
    ours, theirs = entries(replayed / "cluster" / name), entries(replayed / "local" / name)
    for step, entry in theirs.items():
        for name in ("reward/mean", "rollout/masked_over_turns", "optimizer/grad_norm", "optimizer/lr", "policy/loss"):
            assert ours[step][name] == pytest.approx(entry[name], rel=1e-3, abs=1e-6), (step, name)
        assert ours[step]["policy/clip_fraction"] > 0 and entry["policy/clip_fraction"] > 0


def test_both_engines_leave_out_the_same_groups_and_ask_the_same_others(replayed):
    ours, theirs = (replayed / room / "filtered" for room in ("cluster", "local"))
    told = entries(theirs)
    assert sum(entry["group/refills"] for entry in told.values()) >= 2
    assert min(entry["group/kept"] for entry in told.values()) <= 2, "a minibatch of two groups is to be left empty"
    assert max(entry["group/kept"] for entry in told.values()) >= 1
    for step, entry in entries(ours).items():
        for name in told[step]:
            # of a minibatch without a token to train on, verl's loss is 0 / 0 and stays out of the journal
            if name.startswith(("group/", "reward/", "rollout/")) or (name == "policy/loss" and step == 1):
                assert entry[name] == pytest.approx(told[step][name], rel=1e-3, abs=1e-6), (step, name)
    for step in told:
        places = [
            [(row["sample_id"], row["attempt"], row.get("filtered")) for row in map(json.loads, lines)]
            for lines in (
                (run / "rollouts" / f"step_{step:06d}.jsonl").read_text().splitlines() for run in (ours, theirs)
            )
        ]
        assert places[0] == places[1] and len(places[0]) == 4 * told[step]["group/asked"]


def test_two_workers_on_two_nodes_learn_what_one_learns(replayed):
    one, two = replayed / "cluster" / "whole", replayed / "cluster" / "two"
    for step in range(1, 5):
        assert largest_difference(weights(one, step), weights(two, step)) < 3e-5, step
    assert len(list((two / "checkpoints" / "global_step_4").glob("optimizer_*_of_00002.pt"))) == 2


def test_uncertainty_is_that_of_engine_local(replayed):
    """The actor's entropies, what the advantages are shaped to, and what both engines remember of it."""
    one, other = (replayed / room / "shaped" for room in ("cluster", "local"))
    shaped = 0
    for step in range(1, 5):
        ours, theirs = stored(one, step), stored(other, step)
        assert ours.keys() == theirs.keys() and len(ours) == 16
        for place, row in theirs.items():
            # none of a reply without a score here: what cannot be trained on is not looked at
            assert (row["reward"] is None) == ("entropy" not in row)
            if row["reward"] is not None:
                assert ours[place]["entropy"] == pytest.approx(row["entropy"], abs=1e-5) and row["entropy"] > 0.1
                assert ours[place]["advantage"] == pytest.approx(row["advantage"], abs=1e-6)
        state = trainer(one, step)["advantage"]
        assert state.keys() == {"mu", "variance"} and state == pytest.approx(
            trainer(other, step)["advantage"], abs=1e-6
        )
        journal = entries(one)[step]
        assert journal["advantage/reference"] == state["mu"] and journal["advantage/weight_max"] < 1
        shaped += journal["advantage/weight_max"] > 0.1
    assert shaped >= 2, "the weights must have been large enough to show in the weights of the model"


def test_lambda_zero_is_grpo_to_the_last_bit(replayed):
    plain, unshaped = replayed / "cluster" / "whole", replayed / "cluster" / "unshaped"
    for step in range(5):
        assert largest_difference(weights(unshaped, step), weights(plain, step)) == 0, step
    assert trainer(plain, 4)["advantage"] == {} and trainer(unshaped, 4)["advantage"]["mu"] > 0
    shaped = replayed / "cluster" / "shaped"
    assert largest_difference(weights(shaped, 1), weights(plain, 1)) > 1e-5, "the same rollouts, with lambda 0.9"


def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(replayed):
    unbroken, resumed = replayed / "cluster" / "shaped", replayed / "cluster" / "resumed"
    assert min(entries(resumed)) == 3
    for step in (3, 4):
        assert trainer(resumed, step) == trainer(unbroken, step), "the reference of the uncertainty was not restored"
    assert largest_difference(weights(resumed, 2), weights(unbroken, 2)) == 0
    assert largest_difference(weights(resumed, 4), weights(unbroken, 4)) < 1e-6


def test_a_checkpoint_is_a_folder_that_transformers_loads(replayed):
    from makers import builder, prompts, tiny
    from transformers import AutoModelForImageTextToText

    from medrl.learning.state import load_weights

    folder = replayed / "cluster" / "whole" / "checkpoints" / "global_step_4" / "model"
    assert "lm_head.weight" not in load_file(folder / "model.safetensors"), "the tied layer is stored twice"
    loaded = tiny(seed=5)
    load_weights(loaded.policy.model, folder)
    network, prompt = (
        AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval(),
        prompts(loaded, 1)[0],
    )
    reply = builder(loaded).encode_reply("<think>no lesion</think><answer>3</answer>")
    ids = torch.tensor([[*prompt.token_ids, *reply]])
    seen = {"pixel_values": prompt.pixel_values, "image_grid_thw": prompt.image_grid_thw}
    marks = (ids == network.config.image_token_id).int()
    with torch.no_grad():
        logits = network(input_ids=ids, mm_token_type_ids=marks, **seen).logits[0, len(prompt.token_ids) - 1 : -1]
        wanted, _, _ = loaded.policy.token_logprobs([prompt], [reply], temperature=1.0)
    logits[:, loaded.policy.forbidden_ids] = -torch.inf
    found = logits.log_softmax(-1).gather(-1, torch.tensor(reply)[:, None])[:, 0]
    torch.testing.assert_close(found, wanted[0], atol=1e-4, rtol=0)


def test_an_adapter_is_merged_into_the_weights_it_was_trained_on(replayed, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    from medrl.learning.model import export_model

    model = replayed / "cluster" / "adapter" / "checkpoints" / "global_step_1" / "model"
    export_model(model, tmp_path / "merged")
    base = AutoModelForImageTextToText.from_pretrained(replayed / "start", dtype=torch.float32)
    whole = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    ids = torch.arange(20, 60)[None]
    with torch.no_grad():
        before = base(input_ids=ids).logits
        adapted = PeftModel.from_pretrained(base, model).eval()(input_ids=ids).logits
        merged = whole(input_ids=ids).logits
    assert float((adapted - before).abs().max()) > 1e-3, "one step must have changed what the adapter says"
    torch.testing.assert_close(merged, adapted, atol=1e-4, rtol=0)
