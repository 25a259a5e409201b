"""The recipe: every key medrl has, with its default, and the checks that need nothing but the recipe itself.

All mistakes are reported together, before anything heavy is loaded. recipe_file.py reads the file.
"""

import copy
import difflib
import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from medrl.errors import MedrlError
from medrl.familiar_keys import FAMILIAR
from medrl.recipe_faults import faults_of


@dataclass
class Model:
    path: str = MISSING  # Hugging Face name or folder, or `tiny`
    min_pixels: int = 3136  # pictures are resized into this range of areas, in pixels
    max_pixels: int = 802816
    dtype: str = "auto"  # auto: bfloat16 on CUDA, float32 on CPU
    lora_rank: int = 0  # 0 trains all weights
    lora_alpha: float = 32.0
    lora_dropout: float = 0.0
    lora_targets: str = "all-linear"  # of the language model; or module names separated by commas
    freeze_vision: bool = False
    gradient_checkpointing: bool = False


@dataclass
class Data:
    adapter: str = "parquet"  # a built-in format, or path.py[:function]
    root: str | None = None  # folder of the published files; pictures may not lie outside it
    train: str = MISSING  # a split of the adapter; for `parquet` the file
    val: str = MISSING
    demonstrations: str | None = None  # split for the cold start; default: train
    options: dict[str, Any] = field(default_factory=dict)  # keyword arguments of the adapter
    train_options: dict[str, Any] = field(default_factory=dict)  # added to `options` for that split
    val_options: dict[str, Any] = field(default_factory=dict)
    demonstration_options: dict[str, Any] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)  # use only questions of these kinds; default: all
    shuffle: bool = True
    max_refused: float = 0.0  # share of rows that may be unusable; above it nothing starts
    max_shortcut: float | None = (
        None  # accuracy that an answer without the picture may reach on `val`; default: not asked
    )
    slice_by: str | None = None  # what results are told apart by: modality, kind, …; a column or a key of extra_info


@dataclass
class Prompt:
    style: str = "think"  # think, no_think, or the path of a .jinja file


@dataclass
class Env:
    use: str | None = None  # path.py:Class; none: one reply to each question
    kwargs: dict[str, Any] = field(default_factory=dict)
    action_format: str = "hermes"  # how actions are written: hermes, thought_action or grounding
    max_turns: int = 2  # replies of the model in an episode, the last one included
    val_max_turns: int | None = None  # in validation; default: max_turns
    max_images: int = 8  # pictures in an episode, the question's own included


@dataclass
class Reward:
    use: str = MISSING  # path.py[:function]
    weight: float = 1.0
    kwargs: dict[str, Any] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)  # score only questions of these kinds; default: all
    gate: str | None = None  # another reward's name: this one counts only where that one scores above 0.5
    timeout_s: float = 10.0  # a call that takes longer is killed, and its rollout has no score


@dataclass
class Scoring:
    max_missing: float = 0.05  # share of rollouts without a score at which the run stops
    workers: int | None = None  # reward processes on a node; default: one per CPU, 8 at most; 0: none, and no deadlines
    memory_mb: int = 2048  # what each of them may allocate
    accuracy: str | None = None  # the reward that says whether an answer is right; default: `answer`, or the heaviest


@dataclass
class Algorithm:
    advantage: str = "grpo"  # an estimator of docs/advantages.md, or path.py[:function]
    kwargs: dict[str, Any] = field(default_factory=dict)  # of the estimator, such as {lambda: 0.5} of uadt
    group_size: int = 8  # attempts per prompt
    clip_low: float = 0.2
    clip_high: float = 0.2
    kl_coef: float = 0.0  # k3 estimate against the model as it stood before the first GRPO step
    loss_aggregation: str | None = None  # default: seq-mean-token-mean; dr_grpo: seq-mean-token-sum-norm
    ratio: str = "token"  # token, or sequence: one importance ratio for a whole reply (GSPO)
    filter_groups: bool = False  # leave out questions whose attempts are all right or all wrong, and ask others instead
    max_refills: int = 2  # times that others are asked in one step
    mask_over_turns: bool = False  # attempts out of turns, pictures or tokens count in their group and teach nothing


@dataclass
class Curriculum:
    pass_rates: str | None = None  # file made by `medrl data difficulty`: how often the model is right on each sample
    min_pass_rate: float = 0.0  # train on samples between these two, both included
    max_pass_rate: float = 1.0
    order: str | None = None  # easy_to_hard or hard_to_easy, in place of data.shuffle
    stages: list[dict[str, Any]] = field(
        default_factory=list
    )  # such as [{kinds: [choice], steps: 100}, {kinds: [open]}]
    replay_share: float = 0.0  # of a step's prompts, at most, that failed in one of the last steps and are asked again
    replay_window: int = 5  # how many steps are the last ones
    replay_below: float = 0.5  # mean accuracy of its attempts below which a prompt has failed


@dataclass
class Health:
    stop_on: list[str] = field(default_factory=list)  # alarms that end the run, saved; the keys below are their names
    window: int = 10  # steps whose mean is judged
    entropy_collapse: float = 0.1  # alarm below this share of the entropy of the first window
    zero_spread: float = 0.9  # above this share of groups that teach nothing
    format_only: float = 0.2  # when another reward has gained so much and accuracy less than 0.02
    truncated: float = 0.5  # above this share of replies that were cut off
    missing: float = 0.02  # above this share of rollouts without a score
    engine_gap: float = (
        0.05  # above this mean difference in nats between the sampler's and the trainer's log-probabilities
    )
    length_drift: float = 2.0  # when replies are this many times as long as in the first window, or as short


@dataclass
class Sampling:
    temperature: float = 1.0
    max_new_tokens: int = 512
    max_prompt_tokens: int = 4096


@dataclass
class Optimizer:
    lr: float = 1e-6
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    warmup_steps: int = 0
    schedule: str = "constant"  # constant, cosine or linear, after the warm-up
    max_grad_norm: float = 1.0


@dataclass
class Training:
    steps: int = MISSING
    prompts_per_step: int = 16
    minibatches: int = 1  # optimizer updates per step; 1 is strictly on-policy
    micro_batch_size: int = 256  # rollouts in memory at once during the update


@dataclass
class Sft:
    steps: int = 0  # supervised cold start before GRPO; 0: none
    batch_size: int = 32  # demonstrations per optimizer step, over all processes
    lr: float = 1e-5
    warmup_steps: int = 0
    weight_decay: float = 0.01
    # the rest is for `medrl sft`
    micro_batch_size: int = 4  # demonstrations in memory at once in each process
    parallel: str = "none"  # none: one device; ddp, fsdp, zero2 or zero3: engine.gpus_per_node processes


@dataclass
class Val:
    every: int = 20  # GRPO steps between validations; one before the first step and one after the last are always made
    attempts: int = 1  # sampled replies per question; the greedy reply is scored beside them
    max_samples: int | None = None


@dataclass
class Checkpoint:
    every: int = 50
    keep: int = 2


@dataclass
class Engine:
    name: str = "local"  # local: this process; verl: Ray places the workers, vLLM generates, FSDP updates
    device: str = "auto"  # auto, cpu, cuda
    threads: int | None = None  # CPU threads of torch (engine local); default: torch's own choice
    rows_at_once: int = 512  # rollouts decoded together
    # the rest is for engine verl
    nodes: int = 1
    gpus_per_node: int = 1  # on a CPU: worker processes per node
    tensor_parallel: int = 1  # GPUs that share one vLLM
    sequence_parallel: int = 1  # GPUs that share one long sequence in the update (Ulysses)
    vllm_memory: float = 0.5  # share of each GPU's memory for vLLM; the update has the rest
    offload: bool = False  # keep weights and optimizer in host memory between uses
    start_timeout_s: int = 900  # until the workers are placed and the servers answer


@dataclass
class Loggers:
    wandb: str = "off"  # off, offline or online
    tensorboard: bool = False
    project: str = "medrl"


@dataclass
class Recipe:
    name: str = MISSING  # default: the file's name
    runs_dir: str = "runs"
    seed: int = 0
    model: Model = field(default_factory=Model)
    data: Data = field(default_factory=Data)
    prompt: Prompt = field(default_factory=Prompt)
    env: Env = field(default_factory=Env)
    rewards: dict[str, Reward] = field(default_factory=dict)
    scoring: Scoring = field(default_factory=Scoring)
    algorithm: Algorithm = field(default_factory=Algorithm)
    curriculum: Curriculum = field(default_factory=Curriculum)
    health: Health = field(default_factory=Health)
    sampling: Sampling = field(default_factory=Sampling)
    optimizer: Optimizer = field(default_factory=Optimizer)
    training: Training = field(default_factory=Training)
    sft: Sft = field(default_factory=Sft)
    val: Val = field(default_factory=Val)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    engine: Engine = field(default_factory=Engine)
    loggers: Loggers = field(default_factory=Loggers)
    verl: dict[str, Any] = field(default_factory=dict)  # raw keys for verl itself, set last

    @property
    def run_dir(self) -> Path:
        return Path(self.runs_dir) / self.name


def recipe_from(given: dict[Any, Any], place: str, default_name: str) -> Recipe:
    """Check a plain mapping against the schema and against itself; MedrlError lists every mistake, led by `place`."""
    recipe, problems = recipe_or_faults(given, default_name)
    if recipe is None:
        count = f"{len(problems)} mistake{'s' if len(problems) > 1 else ''}"
        raise MedrlError("\n".join([f"{place}: {count}.", *(f"  - {problem}" for problem in problems)]))
    return recipe


def recipe_or_faults(given: dict[Any, Any], default_name: str) -> tuple[Recipe | None, list[str]]:
    """(the recipe, nothing), or (None, its mistakes)."""
    config, problems = fill_in(given)
    if OmegaConf.is_missing(config, "name"):
        config.name = default_name
    for key in _missing(config, ""):
        if not any(problem.startswith(f"{key}=") for problem in problems):  # a value that did not fit is told already
            problems.append(f"{key}: no value; write it in the recipe or give {key}=… on the command line")
    if not problems:
        problems += faults_of(config)
    if problems:
        return None, problems
    recipe = OmegaConf.to_object(config)
    assert isinstance(recipe, Recipe)
    return recipe, []


def fill_in(part: dict[Any, Any]) -> tuple[DictConfig, list[str]]:
    """(the schema's defaults overwritten by a part of a recipe, what in it does not fit); what has no default may be missing."""
    config = copy.deepcopy(_defaults())
    problems: list[str] = []
    _fill(config, Recipe, part, "", problems)
    return config, problems


@functools.cache
def _defaults() -> DictConfig:
    """Made once, and copied: making it takes five times as long, and a sweep needs hundreds."""
    config: DictConfig = OmegaConf.structured(Recipe)
    return config


def to_yaml(recipe: Recipe) -> str:
    """The resolved recipe, every key written out."""
    return OmegaConf.to_yaml(OmegaConf.structured(recipe))


def known_keys() -> list[str]:
    """Every key of the schema, dotted."""
    return list(_keys(Recipe, ""))


def changed_keys(old: Recipe, new: Recipe) -> list[str]:
    """`key: old -> new` for each difference."""
    return [f"{key}: {before} -> {after}" for key, (before, after) in differences(old, new).items()]


def differences(old: Recipe, new: Recipe, absent: Any = "(absent)") -> dict[str, tuple[Any, Any]]:
    """{key: (old value, new value)} of each difference, `absent` where there is none."""
    before, after = _flat(asdict(old), ""), _flat(asdict(new), "")
    pairs = {key: (before.get(key, absent), after.get(key, absent)) for key in sorted(before.keys() | after.keys())}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _fill(config: DictConfig, schema: Any, given: dict[Any, Any], prefix: str, problems: list[str]) -> None:
    """Copy `given` into `config` key by key, so that one mistake does not hide the next."""
    hints = get_type_hints(schema)
    for key, value in given.items():
        full = f"{prefix}{key}"
        if key not in hints:
            problems += [_unknown(leaf, prefix, schema) for leaf in _leaves(full, value)]
            continue
        kind = hints[key]
        if is_dataclass(kind) or full == "rewards":
            if not isinstance(value, dict):
                problems.append(f"{full}: found {value!r}, expected a mapping")
            elif full == "rewards":
                for name, reward in value.items():
                    if not isinstance(reward, dict):
                        problems.append(f"rewards.{name}: found {reward!r}, expected {{use: path.py, weight: 1.0}}")
                        continue
                    config.rewards[name] = Reward()
                    _fill(config.rewards[name], Reward, reward, f"rewards.{name}.", problems)
            else:
                _fill(config[key], kind, value, f"{full}.", problems)
            continue
        if kind is float and type(value) is int:
            value = float(value)
        try:
            config[key] = value
        except OmegaConfBaseException as error:
            problems.append(f"{full}={value!r}: {str(error).splitlines()[0]}")


def _leaves(full: str, value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in _leaves(f"{full}.{key}", item)]
    return [full]


def _unknown(full: str, prefix: str, schema: Any) -> str:
    for familiar, ours in FAMILIAR.items():
        if full == familiar or full.endswith("." + familiar) or full.split(".")[-1] == familiar:
            return f"{full}: no such key; medrl calls it {ours}"
    keys = [*known_keys(), *(f"{prefix}{item.name}" for item in fields(schema))]
    near = difflib.get_close_matches(full, keys, n=1, cutoff=0.6)
    if not near:  # right name, wrong section
        near = [key for key in keys if key.split(".")[-1] == full.split(".")[-1]][:1]
    if near:
        return f"{full}: no such key; did you mean {near[0]}?"
    return f"{full}: no such key; known here: {', '.join(item.name for item in fields(schema))}"


def _keys(schema: Any, prefix: str) -> Sequence[str]:
    found: list[str] = []
    hints = get_type_hints(schema)
    for item in fields(schema):
        kind = hints[item.name]
        if is_dataclass(kind):
            found += _keys(kind, f"{prefix}{item.name}.")
        else:
            found.append(prefix + item.name)
    return found


def _missing(config: DictConfig, prefix: str) -> list[str]:
    found = []
    for key in config:  # a reward's kwargs may hold other keys than text: {0: …}, or {yes: …}, which YAML reads as True
        if OmegaConf.is_missing(config, key):
            found.append(f"{prefix}{key!s}")
        elif isinstance(config[key], DictConfig):
            found += _missing(config[key], f"{prefix}{key!s}.")
    return found


def _flat(tree: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat
