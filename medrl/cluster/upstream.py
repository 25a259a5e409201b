"""What is wrong in the libraries below and mended here until they do it: each patch names the line it stands in for.

A patch whose line has changed fails loudly, since it may then be needless or wrong.
"""

import inspect
from typing import Any

import torch


def expect(function: Any, line: str) -> None:
    """Refuse to patch a function that is no longer the one the patch was written for."""
    if line not in inspect.getsource(function):
        raise RuntimeError(
            f"{function.__module__}.{function.__qualname__} no longer contains `{line}`: medrl was not built for this version. "
            "Install the versions in constraints.txt."
        )


def mend() -> None:
    """Both patches below; for every process that trains or holds rollouts. Repeating it changes nothing."""
    no_value_heads()
    equal_lengths()


def no_value_heads() -> None:
    """verl changes a value-head class of TRL's that TRL 1.x no longer has, and fails wherever TRL is installed.

    Stands in for `if is_trl_available():` in verl/models/transformers/monkey_patch.py, apply_monkey_patch (0.9.1); medrl's
    engine has no value head.
    """
    from verl.models.transformers import monkey_patch

    expect(monkey_patch.apply_monkey_patch, "if is_trl_available():")
    monkey_patch.is_trl_available = lambda: False


def equal_lengths() -> None:
    """Position ids (4, tokens) of sequences that happen to be equally long were taken apart along the 4.

    The update then fails, or reads other tokens' positions. Stands in for `torch.nested.as_nested_tensor(values,
    layout=torch.jagged)` in transfer_queue/storage/managers/simple_storage_manager.py, _pack_field_values (0.1.11), which
    takes the first dimension as the ragged one when all shapes are equal.
    """
    from transfer_queue.storage.managers.simple_storage_manager import AsyncSimpleStorageManager as Manager

    upstream = Manager._pack_field_values
    if getattr(upstream, "mended", False):
        return
    expect(upstream, "return torch.nested.as_nested_tensor(values, layout=torch.jagged)")

    def pack(values: list[Any]) -> Any:
        alike = all(isinstance(value, torch.Tensor) and value.dim() == 2 for value in values)
        if not alike or len({value.shape for value in values}) > 1:
            return upstream(values)
        offsets = torch.arange(len(values) + 1) * values[0].shape[-1]
        return torch.nested.nested_tensor_from_jagged(torch.cat(values, dim=-1), offsets, jagged_dim=2)

    pack.mended = True  # type: ignore[attr-defined]
    Manager._pack_field_values = staticmethod(pack)
