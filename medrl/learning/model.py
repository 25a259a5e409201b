"""Load the model a recipe names and make it ready to learn: dtype, device, LoRA, frozen parts; and write it back.

What is written is a Hugging Face folder: `from_pretrained` loads it (with LoRA, as an adapter over its base model), and it
holds the processor, the chat template and the generation config.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
from transformers.utils import logging as transformers_logging

from medrl.dialogue.control import forbidden_ids
from medrl.errors import MedrlError
from medrl.learning.policy import Policy
from medrl.learning.shared_pictures import read_once
from medrl.learning.tiny import build_tiny, save_tiny, tiny_config_type, tiny_processor
from medrl.recipe import Engine, Model
from medrl.vision.resize import ImageFamily, family_of

transformers_logging.disable_progress_bar()  # a bar per saved shard, in the middle of ours
# where DeepSpeed is installed, saving a model imports it, and on a CPU it warns that it has found one
logging.getLogger("DeepSpeed").addFilter(lambda record: "Setting accelerator to CPU" not in record.getMessage())


@dataclass(frozen=True)
class Loaded:
    """A model ready for training and what belongs to it."""

    policy: Policy
    processor: Any
    family: ImageFamily


def load_processor(path: str) -> tuple[Any, ImageFamily]:
    """Processor and family of a model, without its weights: what counting tokens needs."""
    if path == "tiny":
        return tiny_processor(), family_of(tiny_config_type())
    try:
        processor = AutoProcessor.from_pretrained(path)
        family = family_of(AutoConfig.from_pretrained(path).model_type)
    except (OSError, ValueError) as error:
        raise MedrlError(
            f"model.path={path}: no processor could be loaded ({str(error).splitlines()[0]}). "
            "Give a Hugging Face name, a folder that holds config, weights and processor, or `tiny`."
        ) from None
    return processor, family


def load_config(path: str) -> Any:
    """transformers' config of a model, without its weights."""
    return build_tiny()[0].config if path == "tiny" else AutoConfig.from_pretrained(path)


def load_model(model: Model, engine: Engine, seed: int, base_folder: Path) -> Loaded:
    """Load or build the model in the recipe's dtype on the recipe's device.

    `base_folder` receives the tiny model when LoRA needs a base on disk that its adapter can point to.
    """
    device = torch.device(pick_device(engine.device))
    processor, family = load_processor(model.path)
    # bfloat16 on a CPU without native support is several times slower than float32
    wanted = {"auto": "bfloat16" if device.type == "cuda" else "float32"}.get(model.dtype, model.dtype)
    compute_dtype = torch.bfloat16 if wanted == "bfloat16" else torch.float32
    # under LoRA the frozen base may be stored in bfloat16; weights that are trained stay float32
    stored_dtype = compute_dtype if model.lora_rank else torch.float32
    if model.path == "tiny":
        network: Any = build_tiny(seed)[0].to(stored_dtype)
        if model.lora_rank:
            network.name_or_path = str(save_tiny(base_folder, seed))
    else:
        try:
            network = AutoModelForImageTextToText.from_pretrained(model.path, dtype=stored_dtype)
        except (OSError, ValueError) as error:
            raise MedrlError(
                f"model.path={model.path}: the weights could not be loaded ({str(error).splitlines()[0]}). "
                "Give a Hugging Face name or a folder that holds config, weights and processor."
            ) from None
    network = network.to(device)
    if hasattr(network.model, "visual"):
        read_once(network.model.visual)
    if model.freeze_vision:
        for part in vision_parts(network):
            part.requires_grad_(False)
    if model.gradient_checkpointing:
        network.config.use_cache = False
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if model.lora_rank:
        network = _with_lora(network, model, seed)
    tokenizer = processor.tokenizer
    stops = stop_ids(network.generation_config, tokenizer)
    policy = Policy(
        network,
        forbidden_ids=forbidden_ids(tokenizer, stops, network.config.get_text_config().vocab_size),
        stop_ids=stops,
        pad_id=tokenizer.pad_token_id,
        compute_dtype=compute_dtype,
    )
    return Loaded(policy, processor, family)


def vision_parts(network: Any) -> list[torch.nn.Module]:
    """What turns pixels into the language model's features, under the names the families have for it."""
    names = ("visual", "vision_tower", "multi_modal_projector")
    return [getattr(network.model, name) for name in names if hasattr(network.model, name)]


def save_model(policy: Policy, processor: Any, folder: Path) -> None:
    """Write weights (the adapter alone under LoRA), config, processor and chat template into `folder`."""
    policy.model.save_pretrained(folder)
    processor.save_pretrained(folder)


def merged(network: Any) -> Any:
    """The network without its adapter: LoRA added into the weights, or what was given."""
    return network.merge_and_unload() if hasattr(network, "merge_and_unload") else network


def stop_ids(generation_config: Any, tokenizer: Any) -> list[int]:
    """Tokens that end a reply: those of the generation config and the tokenizer's own."""
    configured = generation_config.eos_token_id if generation_config is not None else None
    listed = configured if isinstance(configured, list) else [configured]
    return sorted({index for index in [*listed, tokenizer.eos_token_id] if index is not None})


def pick_device(wanted: str) -> str:
    """`auto` is CUDA where there is one."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise MedrlError(
            "engine.device=cuda: torch finds no CUDA device here. Use engine.device=auto or cpu, or mend the driver."
        )
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def export_model(model_folder: Path, target: Path) -> None:
    """A self-contained folder: LoRA merged into its base, weights as they were trained otherwise. Refuses to overwrite."""
    if target.exists() and any(target.iterdir()):
        raise MedrlError(f"{target} is not empty; nothing is overwritten. Name a new folder.")
    network = AutoModelForImageTextToText.from_pretrained(model_folder, dtype="auto")
    if (model_folder / "adapter_config.json").is_file():
        from peft import PeftModel

        base = PeftModel.from_pretrained(_base_of(model_folder), model_folder)
        network = base.merge_and_unload()
    network.save_pretrained(target)
    AutoProcessor.from_pretrained(model_folder).save_pretrained(target)


def _base_of(adapter_folder: Path) -> Any:
    from peft import PeftConfig

    return AutoModelForImageTextToText.from_pretrained(
        PeftConfig.from_pretrained(adapter_folder).base_model_name_or_path, dtype="auto"
    )


def _with_lora(network: Any, model: Model, seed: int) -> Any:
    from peft import LoraConfig, get_peft_model

    names = [
        name
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear) and "language_model" in name
    ]
    wanted = names if model.lora_targets == "all-linear" else model.lora_targets.split(",")
    if model.lora_targets != "all-linear" and not any(name.endswith(tuple(wanted)) for name in names):
        raise MedrlError(
            f"model.lora_targets={model.lora_targets}: no linear layer of the language model ends in one of these."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(
            network,
            LoraConfig(
                r=model.lora_rank, lora_alpha=model.lora_alpha, lora_dropout=model.lora_dropout, target_modules=wanted
            ),
        )
