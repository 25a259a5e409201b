"""From a recipe to verl's configuration: nothing of a recipe is lost, and the printed command means what the run does."""

import shlex
from pathlib import Path

import pytest
from makers import recipe

from medrl.cluster.explain import mapping, plain_command
from medrl.cluster.settings import MAPPED, OURS, Machine, compose, overrides, refused
from medrl.errors import MedrlError
from medrl.recipe import known_keys

CPU, GPU = Machine("cpu", 2, False), Machine("cuda", 16, True)


def settings(tmp_path, machine=CPU, **changes):
    made = recipe(tmp_path, **changes)
    return overrides(made, machine, made.model.path)


def test_every_key_of_a_recipe_is_mapped_or_medrls_own():
    told = {*MAPPED, *OURS}
    missing = [key for key in known_keys() if key not in told and key.split(".")[0] not in OURS]
    assert not missing, f"neither mapped to verl nor named in OURS: {missing}"
    assert not set(MAPPED) & set(OURS)


@pytest.mark.parametrize(
    ("changes", "key", "value"),
    [
        ({"algorithm": {"kl_coef": 0.3}}, "actor_rollout_ref.actor.kl_loss_coef", 0.3),
        ({"algorithm": {"kl_coef": 0.0}}, "actor_rollout_ref.actor.use_kl_loss", False),
        ({"algorithm": {"clip_high": 0.28}}, "actor_rollout_ref.actor.clip_ratio_high", 0.28),
        ({"algorithm": {"advantage": "dr_grpo"}}, "actor_rollout_ref.actor.loss_agg_mode", "seq-mean-token-sum-norm"),
        ({"algorithm": {"advantage": "dr_grpo"}}, "actor_rollout_ref.actor.loss_scale_factor", 12),
        ({"training": {"minibatches": 2}}, "actor_rollout_ref.actor.ppo_mini_batch_size", 2),
        ({"training": {"minibatches": 2}}, "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu", 8),
        ({"optimizer": {"warmup_steps": 7}}, "actor_rollout_ref.actor.optim.lr_warmup_steps", 7),
        ({"engine": {"offload": True}}, "actor_rollout_ref.actor.fsdp_config.param_offload", True),
        ({"verl": {"trainer": {"project_name": "mine"}}}, "trainer.project_name", "mine"),
    ],
)
def test_a_key_reaches_verl_under_its_name(tmp_path, changes, key, value):
    assert settings(tmp_path, **changes)[key] == value


def test_a_cpu_never_computes_in_bfloat16_and_a_gpu_does(tmp_path):
    for machine, short, long in ((CPU, "fp32", "float32"), (GPU, "bf16", "bfloat16")):
        keys = settings(tmp_path, machine)
        assert keys["actor_rollout_ref.actor.fsdp_config.mixed_precision"]["param_dtype"] == short
        assert keys["actor_rollout_ref.rollout.dtype"] == long


def test_what_verl_cannot_do_is_refused_with_the_reason(tmp_path):
    assert "lora_dropout" in refused(recipe(tmp_path, model={"lora_rank": 4, "lora_dropout": 0.1}))[0]
    assert not refused(recipe(tmp_path))


@pytest.mark.cluster
def test_the_installed_verl_takes_every_setting_and_refuses_a_wrong_one(tmp_path):
    config = compose(settings(tmp_path))
    assert config.actor_rollout_ref.rollout.n == 4 and config.data.train_batch_size == 4
    with pytest.raises(MedrlError, match=r"trainers\.nnodes"):
        compose(settings(tmp_path, verl={"trainers": {"nnodes": 3}}))


@pytest.mark.cluster
def test_the_printed_command_says_the_same_in_verls_own_grammar(tmp_path):
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from omegaconf import OmegaConf

    made = recipe(tmp_path, model={"lora_rank": 4})
    line = plain_command(made, CPU, Path("/data"), Path("my recipe.yaml"), ["data.root=/my data", "seed=3"])
    build, _, train = line.partition(" && ")
    changes = ["data.root=/my data", "seed=3"]
    assert shlex.split(build) == ["medrl", "data", "build", "my recipe.yaml", "/data", *changes, "--prompted"]
    words = shlex.split(train)
    assert words[:3] == ["python", "-m", "verl.trainer.main_ppo"]
    with initialize_config_module("verl.trainer.config", version_base=None):
        plain = hydra_compose("ppo_trainer", overrides=words[3:])
    ours = compose(settings(tmp_path, model={"lora_rank": 4}))
    for path in (
        "actor_rollout_ref.actor.clip_ratio_c",
        "actor_rollout_ref.model.target_modules",
        "actor_rollout_ref.actor.optim.betas",
        "actor_rollout_ref.rollout.engine_kwargs.vllm.mm_processor_kwargs",
        "trainer.nnodes",
    ):
        assert OmegaConf.select(plain, path) == OmegaConf.select(ours, path), path
    given = plain.reward.custom_reward_function.reward_kwargs
    assert given.recipe == "my recipe.yaml" and list(given.changes) == changes


def test_check_shows_what_became_of_each_key(tmp_path):
    told = mapping(recipe(tmp_path, algorithm={"kl_coef": 0.1}), CPU)
    assert told["algorithm.kl_coef=0.1"] == (
        "actor_rollout_ref.actor.use_kl_loss=true, actor_rollout_ref.actor.kl_loss_coef=0.1"
    )
    assert len(told) == len(MAPPED)


def test_plain_verl_is_not_offered_a_reward_of_groups():
    import asyncio

    from medrl.cluster.plain_reward import compute_score, group_fault
    from medrl.recipe import Reward
    from medrl.scoring.loaded import load_rewards

    alone, together = Reward("rewards/tool.py"), Reward("rewards/curiosity.py")
    assert group_fault(load_rewards({"tool": alone})) == ""
    assert group_fault(load_rewards({"tool": alone, "curious": together})).startswith("rewards.curious: needs a whole")
    changes = ["data.root=nowhere", "rewards.curious.use=rewards/curiosity.py"]
    with pytest.raises(MedrlError, match=r"rewards\.curious: needs a whole group"):
        asyncio.run(compute_score("x", "", "A", {}, recipe="recipes/blood_cells.yaml", changes=changes))


def test_the_plain_reward_is_the_weighted_sum_of_the_recipes_with_its_changes():
    import asyncio

    from medrl.cluster.plain_reward import compute_score

    path, changes = (
        "recipes/blood_cells.yaml",
        ["data.root=/nowhere", "rewards.format.weight=0.5"],
    )  # root is `???` in the file
    reply, extra = "<think>round</think><answer>B</answer>", {"kind": "choice", "options": {"A": "red", "B": "white"}}
    found = asyncio.run(compute_score("bccd", reply, "B", extra, recipe=path, changes=changes))
    assert found["answer/score"] == found["format/score"] == 1.0 and found["score"] == 1.5
