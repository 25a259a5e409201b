"""`medrl sft` on two processes over gloo: FSDP and ZeRO take the steps of one process, to 1e-4 in every loss."""

import json
import os
import subprocess
import sys

import pytest
import torch
from conftest import REPOSITORY
from sft_recipe import journal, sft_recipe
from test_sft import flat, tune
from transformers import AutoModelForImageTextToText

from medrl.recipe import to_yaml

SHARD = {  # what only a process of that kind writes
    "fsdp": "trainer/checkpoint-2/pytorch_model_fsdp_0/__1_0.distcp",
    "zero2": "trainer/checkpoint-2/global_step2/zero_pp_rank_1_mp_rank_00_optim_states.pt",
    "zero3": "trainer/checkpoint-2/global_step2/zero_pp_rank_1_mp_rank_00_model_states.pt",
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    recipe = sft_recipe(tmp_path_factory.mktemp("parallel"), "alone")
    _, run = tune(recipe)
    (run.folder.parent / "recipe.yaml").write_text(to_yaml(recipe))
    return run.folder


@pytest.mark.cluster
@pytest.mark.timeout(600)
@pytest.mark.parametrize("parallel", list(SHARD))
def test_two_processes_take_the_steps_of_one(alone, parallel, tmp_path):
    command = [
        sys.executable, "-m", "medrl", "sft", str(alone.parent / "recipe.yaml"), "--json", f"name={parallel}",
        f"sft.parallel={parallel}", "engine.gpus_per_node=2",
    ]  # fmt: skip
    made = subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, timeout=500,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-4000:]
    assert not list(tmp_path.glob("medrl-*")), "temporary folders are left"
    summary = json.loads(made.stdout.splitlines()[-1])
    folder = alone.parent / parallel
    assert (summary["status"], summary["steps"], summary["run"]) == ("completed", 4, str(folder))
    assert json.loads((folder / "card.json").read_text())["processes"] == 2
    keys = ("sft/loss", "optimizer/lr", "optimizer/grad_norm")
    ours, one = torch.tensor(journal(folder, *keys)), torch.tensor(journal(alone, *keys))
    print(f"{parallel}: largest difference of a loss {(ours - one)[:, 0].abs().max():.1e}")
    torch.testing.assert_close(ours, one, atol=1e-4, rtol=1e-5)
    assert (folder / SHARD[parallel]).is_file(), "the weights were not shared out"
    saved, wanted = (
        flat(AutoModelForImageTextToText.from_pretrained(run / "checkpoints" / "global_step_4" / "model"))
        for run in (folder, alone)
    )
    assert (saved - wanted).abs().max() < 1e-3 and (saved - wanted).abs().mean() < 1e-6
