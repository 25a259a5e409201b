"""`medrl sft` on one device: the cold start's own steps, a model GRPO can start from, and a resume that changes nothing."""

import json
import re
import shutil

import pytest
import torch
from sft_recipe import journal, sft_recipe
from transformers import AutoModelForImageTextToText

from medrl import preflight
from medrl.dialogue.taught import FILE
from medrl.errors import MedrlError
from medrl.learning.cold_start import cold_start
from medrl.learning.demonstrations import imitated
from medrl.learning.model import load_model
from medrl.learning.parallel import parallel_faults
from medrl.learning.sft import fine_tune, newest_checkpoint
from medrl.preflight_sft import check_sft
from medrl.recipe import to_yaml
from medrl.recipe_file import load_recipe
from medrl.record.run import Run


def flat(model):
    return torch.cat([value.detach().flatten() for value in model.parameters()])


def tune(recipe, plan=None):
    plan = plan or check_sft(recipe)
    run = Run.open(recipe, command="sft")
    run.write_card({"command": "medrl sft x", "data_sha256": plan.data_sha256, **plan.taught})
    return fine_tune(plan, run), run


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    recipe = sft_recipe(tmp_path_factory.mktemp("sft"))
    return recipe, *tune(recipe)


def test_every_step_is_the_cold_starts_of_engine_local(tuned):
    recipe, summary, run = tuned
    plan = check_sft(recipe)
    loaded = load_model(recipe.model, recipe.engine, recipe.seed, run.folder)
    entries = []
    cold_start(
        loaded.policy, plan.builder, [item.sample for item in plan.items], recipe.sft, recipe.seed, entries.append,
        interaction=plan.interaction,
    )  # fmt: skip
    wanted = [(entry["sft/loss"], entry["optimizer/lr"], entry["optimizer/grad_norm"]) for entry in entries]
    found = journal(run.folder, "sft/loss", "optimizer/lr", "optimizer/grad_norm")
    torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted), rtol=1e-4, atol=1e-5)
    assert summary["status"] == "completed" and summary["steps"] == 4 and (run.folder / "report.html").is_file()
    saved = AutoModelForImageTextToText.from_pretrained(run.checkpoints / "global_step_4" / "model")
    before = load_model(recipe.model, recipe.engine, recipe.seed, run.folder).policy.model
    gap = (flat(saved) - flat(loaded.policy.model)).abs().max()
    assert gap < 1e-4 < (flat(saved) - flat(before)).abs().max()


def test_grpo_starts_from_it_and_only_with_the_same_prompt(tuned):
    _, _, run = tuned
    model = run.checkpoints / "global_step_4" / "model"
    changes = {"model": {"path": str(model)}, "sft": {"steps": 0}}
    preflight.check(sft_recipe(run.folder.parent, "grpo", **changes))
    for other, told in (
        ({"prompt": {"style": "no_think"}}, r"prompt_template_sha256: found \w+ \(think\), expected \w+ \(no_think\)"),
        ({"env": {"kwargs": {"name": "look"}}}, r"tools_sha256: found \w+ \(zoom\), expected \w+ \(look\)"),
        ({"env": {"use": None, "kwargs": {}}}, r"tools_sha256: found \w+ \(zoom\), expected none"),
    ):
        with pytest.raises(MedrlError, match=told):
            preflight.check(sft_recipe(run.folder.parent, "grpo", **changes, **other))
    assert json.loads((model / FILE).read_text())["tools"] == "zoom"


def test_a_run_of_one_command_is_not_gone_on_with_by_another(tuned):
    with pytest.raises(MedrlError, match="holds a run of `medrl sft`, not of `medrl train`"):
        Run.open(tuned[0])


@pytest.mark.cluster  # seconds, but ten of them
def test_a_resumed_run_ends_as_the_unbroken_one(tuned, tmp_path):
    _, _, whole = tuned
    shutil.copytree(whole.folder, tmp_path / "test")
    again = sft_recipe(tmp_path)
    shutil.rmtree(tmp_path / "test" / "checkpoints")
    (tmp_path / "test" / "trainer" / "checkpoint-4" / "finished").unlink()  # killed while that one was written
    assert newest_checkpoint(tmp_path / "test" / "trainer").endswith("checkpoint-2")
    summary, run = tune(again)
    assert summary["steps"] == 4
    assert journal(run.folder, "step", "sft/loss") == journal(whole.folder, "step", "sft/loss")
    names = [folder / "checkpoints/global_step_4/model/model.safetensors" for folder in (run.folder, whole.folder)]
    assert names[0].read_bytes() == names[1].read_bytes()


@pytest.mark.cluster  # slow, not special
def test_lora_leaves_a_whole_model_and_the_adapter(tmp_path):
    recipe = sft_recipe(tmp_path, model={"lora_rank": 4}, sft={"steps": 1})
    _, run = tune(recipe)
    found = run.checkpoints / "global_step_1"
    assert (found / "adapter" / "adapter_model.safetensors").is_file()
    assert not (found / "model" / "adapter_config.json").exists()
    base = AutoModelForImageTextToText.from_pretrained(run.folder / "base_model")
    merged = AutoModelForImageTextToText.from_pretrained(found / "model")
    changed = [name for name, value in merged.named_parameters() if not torch.equal(value, base.get_parameter(name))]
    assert changed and all("language_model" in name for name in changed)


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"sft": {"steps": 0}}, "sft.steps=0: expected at least 1"),
        ({"sft": {"batch_size": 6}}, "sft.batch_size=6 is not divided by 1 processes x sft.micro_batch_size=4"),
        ({"sft": {"batch_size": 32}}, "there are only 16 demonstrations"),
        ({"env": {"kwargs": {"name": "look"}}}, "there is no tool 'zoom'; the tools are look"),
        ({"env": {"use": None, "kwargs": {}}}, "name the environment it was made with"),
        ({"data": {"adapter": "trajectories", "root": "/nowhere"}}, "/nowhere is not a folder"),
        ({"data": {"adapter": "vqa.py"}}, "vqa.py"),
    ],
)
def test_what_cannot_be_learnt_from_is_told_before_a_model_is_loaded(tmp_path, changes, told):
    data = {"train_options": {"n": 16}, "demonstration_options": {"n": 16}, "demonstrations": "demo"}
    if changes.get("data", {}).get("adapter") == "trajectories":
        changes["data"] |= {"train_options": {}, "val_options": {}, "demonstration_options": {}}
    else:
        changes.setdefault("data", {}).update({key: changes["data"].get(key, value) for key, value in data.items()})
    with pytest.raises(MedrlError, match=told):
        check_sft(sft_recipe(tmp_path, **changes))


@pytest.mark.parametrize(
    "sft, processes, without_pictures, told",
    [
        ({}, 2, 0, r"sft\.parallel=none, but 2 processes were started"),
        (
            {"batch_size": 16, "parallel": "ddp"},
            3,
            0,
            r"3 processes x sft\.micro_batch_size=4\. Choose a multiple of 12",
        ),
        ({"batch_size": 2, "parallel": "ddp"}, 3, 0, r"sft\.batch_size=2 is not divided by 3 processes"),
        ({"parallel": "fsdp"}, 2, 1, r"1 of 16 demonstrations have no picture, and processes would wait"),
    ],
)
def test_processes_share_a_batch_evenly_or_not_at_all(tmp_path, sft, processes, without_pictures, told):
    (fault,) = parallel_faults(sft_recipe(tmp_path, sft=sft), processes, without_pictures, 16)
    assert re.search(told, fault)
    assert parallel_faults(sft_recipe(tmp_path, sft={"parallel": "ddp"}), 2, 1, 16) == []


def test_a_name_that_is_not_given_tells_the_stages_apart(tmp_path):
    text = to_yaml(sft_recipe(tmp_path)).replace("name: test\n", "", 1)
    (tmp_path / "zoom.yaml").write_text(text)
    assert load_recipe(tmp_path / "zoom.yaml", suffix="_sft").name == "zoom_sft"
    assert load_recipe(tmp_path / "zoom.yaml", ["name=mine"], suffix="_sft").name == "mine"


@pytest.mark.cluster  # seconds, but ten of them
def test_the_correct_rollouts_of_a_run_teach_what_their_text_does(tmp_path):
    steps = {"sft": {"steps": 1}, "data": {"demonstrations": "train", "train_options": {"n": 8}}}
    steps["data"]["demonstration_options"] = {"n": 8}
    told = check_sft(sft_recipe(tmp_path, "told", **steps))
    rollouts = imitated(told.builder, [told.builder.build(item.sample) for item in told.items], told.interaction)
    for rollout in rollouts:
        rollout.scores = {"answer/score": 1.0}
    sampled = Run(tmp_path / "sampled")
    sampled.folder.mkdir()
    sampled.write_rollouts(1, rollouts)
    kept = check_sft(sft_recipe(tmp_path, "kept", **steps), from_rollouts=sampled.folder)
    assert all(item.whole for item in kept.items) and kept.data_sha256 != told.data_sha256
    found = [journal(tune(plan.recipe, plan)[1].folder, "sft/loss") for plan in (told, kept)]
    assert found[0] == found[1]
    with pytest.raises(MedrlError, match="has no reward 'tool'; it has answer"):
        check_sft(sft_recipe(tmp_path, "kept", **steps), from_rollouts=sampled.folder, keep="tool=1")
