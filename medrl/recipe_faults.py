"""Values of a recipe that no run can start with: unknown choices, numbers out of range, keys that contradict each other."""

import difflib
from typing import Any

from omegaconf import DictConfig, OmegaConf

CHOICES = {
    "model.dtype": ("auto", "float32", "bfloat16"),
    "algorithm.ratio": ("token", "sequence"),
    "curriculum.order": (None, "easy_to_hard", "hard_to_easy"),
    "algorithm.loss_aggregation": (
        None, "token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm",
    ),
    "optimizer.schedule": ("constant", "cosine", "linear"),
    "sft.parallel": ("none", "ddp", "fsdp", "zero2", "zero3"),
    "env.action_format": ("hermes", "thought_action", "grounding"),
    "engine.name": ("local", "verl"),
    "engine.device": ("auto", "cpu", "cuda"),
    "loggers.wandb": ("off", "offline", "online"),
}  # fmt: skip

STAGE_KEYS = ("kinds", "data_source", "slices", "steps")


def faults_of(config: DictConfig) -> list[str]:
    """Every fault of a recipe whose keys all have values of the right type."""
    problems = []
    for key, choices in CHOICES.items():
        if (value := OmegaConf.select(config, key)) not in choices:
            known = ", ".join(str(choice) for choice in choices if choice is not None)
            problems.append(f"{key}={value}: expected one of {known}")
    return problems + _contradictions(config) + _curriculum_faults(config)


def _contradictions(config: DictConfig) -> list[str]:
    """Values that are each valid but cannot stand together."""
    problems = []
    algorithm, training = config.algorithm, config.training
    if algorithm.group_size < 2:
        problems.append(
            f"algorithm.group_size={algorithm.group_size} with algorithm.advantage={algorithm.advantage}: the advantage compares "
            "attempts at one question, so at least 2 are needed (8 is usual)"
        )
    if training.prompts_per_step % training.minibatches:
        problems.append(
            f"training.minibatches={training.minibatches} does not divide training.prompts_per_step={training.prompts_per_step}"
        )
    if config.env.use and config.env.max_turns < 2:
        problems.append(
            f"env.max_turns={config.env.max_turns}: an action and the reply after it are two turns; expected at least 2"
        )
    if config.env.use and config.env.val_max_turns is not None and config.env.val_max_turns < 2:
        problems.append(f"env.val_max_turns={config.env.val_max_turns}: expected at least 2, or nothing for max_turns")
    if config.model.min_pixels > config.model.max_pixels:
        problems.append(
            f"model.min_pixels={config.model.min_pixels} is above model.max_pixels={config.model.max_pixels}"
        )
    if config.sampling.temperature <= 0:
        problems.append(
            f"sampling.temperature={config.sampling.temperature}: "
            "attempts at temperature 0 are all alike and teach nothing; use 1.0"
        )
    if config.data.max_shortcut is not None and not 0 < config.data.max_shortcut <= 1:
        problems.append(
            f"data.max_shortcut={config.data.max_shortcut}: an accuracy is expected, above 0 and at most 1, such as 0.6"
        )
    if not config.rewards:
        problems.append("rewards: none given; name at least one, such as `answer: {use: rewards/choice.py}`")
    elif not any(reward.weight for reward in config.rewards.values()):
        problems.append("rewards: every weight is 0, so nothing can be learnt")
    problems += _gate_faults(config) + _health_faults(config.health)
    if config.scoring.accuracy is not None and config.scoring.accuracy not in config.rewards:
        known = ", ".join(str(name) for name in config.rewards)
        problems.append(f"scoring.accuracy={config.scoring.accuracy}: no such reward; expected one of {known}")
    if not 0 < algorithm.clip_low < 1:
        problems.append(f"algorithm.clip_low={algorithm.clip_low}: expected above 0 and below 1")
    if algorithm.clip_high <= 0:
        problems.append(f"algorithm.clip_high={algorithm.clip_high}: expected above 0")
    if algorithm.max_refills < 0:
        problems.append(f"algorithm.max_refills={algorithm.max_refills}: expected 0 or more")
    if not 0 <= config.scoring.max_missing <= 1:
        problems.append(f"scoring.max_missing={config.scoring.max_missing}: expected a share between 0 and 1")
    if config.scoring.workers is not None and config.scoring.workers < 0:
        problems.append(f"scoring.workers={config.scoring.workers}: expected 0 or more, or nothing for one per CPU")
    for name, reward in config.rewards.items():
        if not 0 < reward.timeout_s < float("inf"):
            problems.append(f"rewards.{name}.timeout_s={reward.timeout_s}: expected seconds, above 0, such as 10")
    if config.model.lora_rank == 0 and config.model.lora_dropout > 0:
        problems.append(f"model.lora_dropout={config.model.lora_dropout} without LoRA (model.lora_rank=0)")
    positive = (
        "training.steps training.prompts_per_step training.minibatches training.micro_batch_size sampling.max_new_tokens "
        "sampling.max_prompt_tokens val.every val.attempts checkpoint.every checkpoint.keep engine.rows_at_once "
        "model.min_pixels sft.batch_size sft.micro_batch_size env.max_images "
        "scoring.memory_mb health.window"
    )
    for key in positive.split():
        if (value := OmegaConf.select(config, key)) < 1:
            problems.append(f"{key}={value}: expected at least 1")
    for key in ("optimizer.lr", "sft.lr"):
        if (value := OmegaConf.select(config, key)) <= 0:
            problems.append(f"{key}={value}: expected above 0")
    return problems


def _gate_faults(config: DictConfig) -> list[str]:
    """Gates of rewards that do not exist, run in a circle, or have no say where they are asked."""
    problems = []
    gates = {name: reward.gate for name, reward in config.rewards.items() if reward.gate is not None}
    for name, gate in gates.items():
        place = f"rewards.{name}.gate={gate}"
        if gate not in config.rewards:
            others = ", ".join(str(other) for other in config.rewards if other != name) or "there is no other"
            problems.append(f"{place}: no such reward; expected another one of this recipe: {others}")
            continue
        way = [name]
        while way[-1] in gates and gates[way[-1]] not in way:
            way.append(gates[way[-1]])
        if gate == name:
            problems.append(f"{place}: a reward cannot be its own gate; name another one")
        elif gates.get(way[-1]) == name:
            problems.append(f"{place}: the gates run in a circle, {' -> '.join([*way, name])}; take one of them out")
        asked, scored = set(config.rewards[name].kinds), set(config.rewards[gate].kinds)
        if scored and not (asked and asked <= scored):
            problems.append(
                f"{place}: {gate} scores questions of kind {', '.join(sorted(scored))}, {name} those of "
                f"{'kind ' + ', '.join(sorted(asked)) if asked else 'every kind'}; expected a gate that has a say wherever it "
                f"is asked. Set rewards.{name}.kinds to some of the gate's, or widen rewards.{gate}.kinds"
            )
    return problems


def _health_faults(health: DictConfig) -> list[str]:
    """Alarms that do not exist, and limits that no metric can be held against."""
    problems = []
    names = [str(key) for key in health if key not in ("stop_on", "window")]
    for name in health.stop_on:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            help_ = f"did you mean {near[0]}?" if near else f"expected some of {', '.join(names)}"
            problems.append(f"health.stop_on={name}: no such alarm; {help_}")
    ranges = {
        "entropy_collapse": (0, 1, "a share between 0 (never) and 1"),
        "zero_spread": (0, 1, "a share between 0 and 1 (never)"),
        "format_only": (0, float("inf"), "a gain of 0 or more, .inf for never"),
        "truncated": (0, 1, "a share between 0 and 1 (never)"),
        "missing": (0, 1, "a share between 0 and 1 (never)"),
        "engine_gap": (0, float("inf"), "nats, 0 or more, .inf for never"),
        "length_drift": (1, float("inf"), "a factor of 1 or more, .inf for never"),
    }
    for name, (low, high, expected) in ranges.items():
        if not low <= health[name] <= high:  # also what is no number
            problems.append(f"health.{name}={health[name]}: expected {expected}")
    return problems


def _curriculum_faults(config: DictConfig) -> list[str]:
    """Bands and orders without rates, shares and stages that no run can have."""
    given, size = config.curriculum, config.training.prompts_per_step
    problems = []
    low, high = given.min_pass_rate, given.max_pass_rate
    if not 0 <= low <= high <= 1:
        problems.append(
            f"curriculum.min_pass_rate={low}, curriculum.max_pass_rate={high}: expected 0 <= min <= max <= 1"
        )
    asked = [f"curriculum.order={given.order}"] if given.order is not None else []
    if low > 0 or high < 1:
        asked.append(f"curriculum.min_pass_rate={low}, curriculum.max_pass_rate={high}")
    if given.pass_rates is None:
        problems += [
            f"{one}: no pass rate is known; make a file with `medrl data difficulty RECIPE` and name it in curriculum.pass_rates"
            for one in asked
        ]
    share = given.replay_share
    if not 0 <= share <= 0.3:
        problems.append(
            f"curriculum.replay_share={share}: expected a share from 0 to 0.3, OphVLM-R1's cap; beyond it a step is mostly what "
            "the model fails at"
        )
    elif share > 0 and share * size < 1:
        problems.append(
            f"curriculum.replay_share={share} of training.prompts_per_step={size} is less than one prompt, so nothing would be "
            f"replayed; raise one of them, up to a share of 0.3"
        )
    if given.replay_window < 1:
        problems.append(f"curriculum.replay_window={given.replay_window}: expected at least 1 step")
    if not 0 < given.replay_below <= 1:
        problems.append(f"curriculum.replay_below={given.replay_below}: expected an accuracy above 0 and at most 1")
    stages: Any = OmegaConf.to_container(given.stages)
    return problems + _stage_faults(stages, config)


def _stage_faults(stages: list[dict[str, Any]], config: DictConfig) -> list[str]:
    """Keys and values of stages, and whether their steps are those of the run."""
    problems = []
    for number, stage in enumerate(stages):
        place = f"curriculum.stages[{number}]"
        problems += [
            f"{place}.{key}: no such key; expected {', '.join(STAGE_KEYS)}" for key in stage if key not in STAGE_KEYS
        ]
        for key in ("kinds", "data_source", "slices"):
            value = stage.get(key, "absent")
            if not isinstance(value, str) and not (value and all(isinstance(one, str) for one in value)):
                problems.append(f"{place}.{key}={value!r}: expected a name or a list of names, such as [choice]")
        if "slices" in stage and config.data.slice_by is None:
            problems.append(f"{place}.slices: slices of what? Set data.slice_by, such as modality")
        steps = stage.get("steps")
        if "steps" not in stage and number < len(stages) - 1:
            problems.append(f"{place}: no steps; only the last stage may leave them out")
        elif "steps" in stage and (type(steps) is not int or steps < 1):
            problems.append(f"{place}.steps={steps!r}: expected a whole number, at least 1")
    if problems or not stages:
        return problems
    total, wanted = sum(stage.get("steps", 0) for stage in stages), config.training.steps
    if "steps" in stages[-1] and total != wanted:
        return [f"curriculum.stages: their steps are {total} together, but training.steps={wanted}; expected the same"]
    if "steps" not in stages[-1] and total >= wanted:
        return [
            f"curriculum.stages: the stages before the last take {total} steps of training.steps={wanted}; none are left for it"
        ]
    return []
