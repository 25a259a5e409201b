"""What a checkpoint of the local engine holds, written and read back exactly: weights, optimizer, step.

Every random number of a step is derived from the seed and the step, so no generator's state is kept. No pickle is loaded.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from medrl.learning.model import save_model
from medrl.learning.policy import Policy
from medrl.learning.update import Reference
from medrl.record.files import write_json


def write_state(
    folder: Path, policy: Policy, processor: Any, optimizer: torch.optim.Optimizer, trainer: dict[str, Any]
) -> None:
    """Fill a checkpoint folder: `model/` (a Hugging Face folder), `optimizer.pt`, `trainer.json` (the step, and what the
    estimator and the course remember)."""
    save_model(policy, processor, folder / "model")
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    write_json(folder / "trainer.json", trainer)


def load_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Restore the optimizer."""
    optimizer.load_state_dict(torch.load(folder / "optimizer.pt", weights_only=True))


def read_trainer(folder: Path) -> dict[str, Any]:
    """trainer.json of a checkpoint of either engine."""
    found: dict[str, Any] = json.loads((folder / "trainer.json").read_text(encoding="utf-8"))
    return found


def load_weights(network: Any, folder: Path) -> None:
    """Weights written by `save_model` into a network of the same shape and precision, bit for bit."""
    if hasattr(network, "get_base_model"):
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(network, load_file(folder / "adapter_model.safetensors"))
        return
    # through from_pretrained, since the names in the files are the hub's and not the module's
    network.load_state_dict(type(network).from_pretrained(folder, dtype=network.dtype).state_dict())


def stored_reference(policy: Policy, processor: Any, folder: Path) -> Reference:
    """The weights before the first GRPO step: kept in `folder` from then on, so that a resume measures KL from the same."""
    finished = folder / "finished"
    if not finished.exists():
        save_model(policy, processor, folder)
        finished.touch()
        return Reference(policy)
    current = {name: value.detach().clone() for name, value in policy.model.state_dict().items()}
    load_weights(policy.model, folder)
    reference = Reference(policy)
    policy.model.load_state_dict(current)
    return reference
