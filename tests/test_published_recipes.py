"""Recipes after published systems: their values are those of the papers and scripts, they fit their GPUs, and they pay right."""

import base64
import io
import json
from pathlib import Path

import pytest
from makers import samples
from model_configs import CONFIGS
from omegaconf import OmegaConf
from PIL import Image

from medrl.cluster.layout import layout_faults
from medrl.cluster.memory import estimate, faults
from medrl.data.source import find_adapter
from medrl.dialogue.prompts import load_style
from medrl.learning.estimator import load_estimator
from medrl.plugin import check_call
from medrl.preflight import check
from medrl.recipe_file import load_recipe
from medrl.scoring.accuracy import accuracy_reward
from medrl.scoring.loaded import load_rewards

FOLDER = Path(__file__).resolve().parent.parent / "recipes"
GPU_80 = 80 * 10**9
MED_R1 = {  # src/scripts of the authors; what is not set there, TRL's and transformers' defaults
    "model.path": "Qwen/Qwen2.5-VL-3B-Instruct", "model.max_pixels": 401408, "algorithm.advantage": "grpo",
    "algorithm.group_size": 4, "sampling.max_prompt_tokens": 1024, "sampling.temperature": 1.0, "training.minibatches": 1,
    "sft.steps": 0, "engine.gpus_per_node": 2, "rewards.answer.weight": 1.0, "rewards.format.weight": 1.0,
    "algorithm.kl_coef": 0.04, "optimizer.lr": 1e-6, "optimizer.schedule": "linear", "sampling.max_new_tokens": 256,
}  # fmt: skip
OPHTHA = {  # OphVLM-R1's group and KL; uadt with its own defaults
    "model.path": "Qwen/Qwen2.5-VL-3B-Instruct", "prompt.style": "ophtha_reason", "algorithm.advantage": "uadt",
    "algorithm.group_size": 8, "algorithm.kl_coef": 0.04, "algorithm.kwargs": {},
}  # fmt: skip
PUBLISHED = {
    "med_r1": {**MED_R1, "prompt.style": "think", "training.prompts_per_step": 8},  # 2 a device, 2 accumulated, 2 GPUs
    "med_r1_no_think": {**MED_R1, "prompt.style": "no_think", "training.prompts_per_step": 4},
    "ophtha_reason": {**OPHTHA, "data.kinds": ["choice", "multi_choice", "yes_no"]},
    "ophtha_reason_complex": {**OPHTHA, "data.kinds": ["open_short"]},
    "vitar": {
        "env.max_turns": 2, "rewards.answer.weight": 1.0, "rewards.thought.weight": 0.2, "rewards.format.weight": 0.2,
        "env.use": "envs/mark.py:MarkEnv",
    },
    "deepeyes": {
        "algorithm.kl_coef": 0.0, "env.max_turns": 5, "algorithm.group_size": 8, "training.prompts_per_step": 128,
        "rewards.answer.weight": 0.8, "rewards.format.weight": 0.2, "rewards.tool.weight": 1.2, "optimizer.lr": 1e-6,
    },
    "mini_o3": {
        "algorithm.clip_low": 0.2, "algorithm.clip_high": 0.3, "algorithm.kl_coef": 0.0, "algorithm.mask_over_turns": True,
        "env.max_turns": 6, "env.val_max_turns": 12, "algorithm.group_size": 16,
    },
    "gpu/qwen2_5_vl_7b": {"algorithm.kl_coef": 0.01, "algorithm.group_size": 8},  # MedVLThinker
}  # fmt: skip
NEW = ("med_r1", "med_r1_no_think", "ophtha_reason", "ophtha_reason_complex")
CHOICE = {"options": {"A": "MRI", "B": "CT", "C": "X-ray"}}
LONG = "<think>Dense bone.</think><answer>{}</answer>"
# the right reply in the form asked for, the same without its form, and what they earn together of 0/1 rewards
EARNED = {
    "med_r1": ("choice", "B", CHOICE, LONG.format("B"), "<answer>B</answer>", 2.0, 1.0),
    "med_r1_no_think": ("choice", "B", CHOICE, "<answer>B</answer>", LONG.format("B"), 2.0, 1.0),
    "ophtha_reason": ("multi_choice", "A,C", CHOICE, LONG.format("A,C"), "<answer>A,C</answer>", 1.2, 1.0),
    "ophtha_reason_complex": (
        "open_short",
        "Uveitis",
        {},
        LONG.format("uveitis"),
        "<answer>Uveitis</answer>",
        1.2,
        1.0,
    ),
}


def recipe_of(name):
    return load_recipe(FOLDER / f"{name}.yaml", ["data.root=/data"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_its_values_are_the_published_ones(name):
    config = OmegaConf.structured(recipe_of(name))
    wanted = PUBLISHED[name]
    assert {key: OmegaConf.select(config, key) for key in wanted} == wanted


@pytest.mark.parametrize("name", NEW)
def test_it_divides_and_fits(name):
    recipe = recipe_of(name)
    config = CONFIGS[recipe.model.path]()
    plan = estimate(recipe, config, recipe.sampling.max_prompt_tokens)
    assert recipe.engine.name == "verl" and layout_faults(recipe, config) == [] and faults(plan, GPU_80) == []
    assert plan.sequences(GPU_80) >= 8


@pytest.mark.parametrize("name", NEW)
def test_its_parts_exist(name):
    recipe = recipe_of(name)
    check_call(find_adapter(recipe.data.adapter), ("root", "split"), recipe.data.options)
    load_estimator(recipe.algorithm, FOLDER)
    assert accuracy_reward(recipe) in recipe.rewards
    kinds = recipe.data.kinds or ["choice"]
    accepted = {kind for name, rule in recipe.rewards.items() if name != "format" for kind in rule.kinds or kinds}
    assert set(kinds) <= accepted, "every kind of question has a reward that knows a right answer"


@pytest.mark.parametrize(("name", "case"), EARNED.items())
def test_a_right_reply_earns_its_form_only_in_the_form_asked_for(name, case):
    kind, truth, extra, formed, formless, with_form, without = case
    recipe = recipe_of(name)
    shown = load_style(recipe.prompt.style).messages(samples(1, task="side")[0])
    assert ("<think>" in "".join(turn["content"] for turn in shown)) == ("<think>" in formed)
    assert [turn["role"] for turn in shown] == (["user"] if name.startswith("med_r1") else ["system", "user"])
    asked = [reward for reward in load_rewards(recipe.rewards, FOLDER) if not reward.kinds or kind in reward.kinds]

    def earned(reply):
        scores = [
            one.plugin.target("set", reply, truth, {"kind": kind, **extra}, **one.kwargs)["score"] for one in asked
        ]
        return sum(one.weight * score for one, score in zip(asked, scores))

    assert earned(formed) == pytest.approx(with_form) and earned(formless) == pytest.approx(without)


def write_data(root, name):
    """Forty records in the published form, each with a picture of its own."""
    pictures = []
    for number in range(40):
        file = io.BytesIO()
        Image.new("RGB", (56, 56), (number, 99, 0)).save(file, "PNG")
        pictures.append(file.getvalue())
    if name.startswith("med_r1"):
        recipe = recipe_of(name)
        for split, part in ((recipe.data.train, range(30)), (recipe.data.val, range(30, 40))):
            path = root / f"{split}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            asked = {"problem": "Which? A)MRI, B)CT, plain", "solution": "<answer> B </answer>"}
            path.write_text(json.dumps([{"image": f"{number}.png", **asked} for number in part]))
            for number in part:
                (root / f"{number}.png").write_bytes(pictures[number])
        return
    asked = {
        "ophtha_reason": [("Which? A)Scar, B)Drusen", "B"), ("Which? A)Scar, B)Drusen", "A,B"), ("A scar?", "no")],
        "ophtha_reason_complex": [("Which disease?", "Uveitis")],
    }[name]
    records = []
    for number, picture in enumerate(pictures):
        question, answer = asked[number % len(asked)]
        turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
        records.append({"image": [base64.b64encode(picture).decode()], "conversations": turns, "reason": "Red spots."})
    (root / recipe_of(name).data.options["file"]).write_text(json.dumps(records))


@pytest.mark.parametrize("name", NEW)
def test_the_whole_check_passes_on_records_as_published(tmp_path, name):
    write_data(tmp_path, name)
    changes = ["model.path=tiny", "model.gradient_checkpointing=false", "engine.name=local", "engine.device=cpu"]
    changes += ["training.prompts_per_step=4", f"data.root={tmp_path}"]
    plan = check(load_recipe(FOLDER / f"{name}.yaml", changes), FOLDER)
    assert plan.train.refused == plan.val.refused == [] and plan.val.samples
    kinds = {sample.kind for sample in plan.train.samples}
    assert kinds == set(plan.recipe.data.kinds or ["choice"])
