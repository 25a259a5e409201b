"""Every distinct picture of a micro-batch goes through the vision tower once; its features are then dealt out.

The attempts of a group all bring the same picture. Towers of the Qwen-VL layout: pixels (patches of all pictures, patch
numbers) and grid_thw (pictures, 3); pictures do not look at each other there, so nothing but float order changes.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn


def read_once(tower: nn.Module) -> None:
    """Let `tower` read each distinct picture once. What it returns is what it returned before."""
    read = tower.forward.__func__

    def forward(self: nn.Module, pixels: Tensor, grid_thw: Tensor, **named: Any) -> Any:
        patches = grid_thw.prod(1).tolist()
        parts = list(pixels.split(patches))
        firsts, which = distinct(parts, grid_thw.tolist())
        if len(firsts) == len(parts):
            return read(self, pixels, grid_thw=grid_thw, **named)
        found = read(self, torch.cat([parts[first] for first in firsts]), grid_thw=grid_thw[firsts], **named)
        return _dealt_out(found, [patches[first] for first in firsts], which)

    tower.forward = MethodType(forward, tower)  # a bound method, so that a copy of the tower is bound to itself


def distinct(parts: list[Tensor], grids: list[list[int]]) -> tuple[list[int], list[int]]:
    """Where each distinct picture is met first, and for every picture which of these it is."""
    sums = torch.stack([part.sum(dtype=torch.float64) for part in parts]).tolist()  # alike pictures have equal sums
    firsts: list[int] = []
    which: list[int] = []
    for number, part in enumerate(parts):
        for place, first in enumerate(firsts):
            if (sums[first], grids[first]) == (sums[number], grids[number]) and torch.equal(parts[first], part):
                which.append(place)
                break
        else:
            which.append(len(firsts))
            firsts.append(number)
    return firsts, which


def _dealt_out(found: Any, patches: list[int], which: list[int]) -> Any:
    """Every tensor in a tower's output with its rows repeated; rows are patches, or patches merged into tokens."""
    if isinstance(found, Tensor):
        merged = sum(patches) // len(found)  # patches behind a row
        rows = found.split([count // merged for count in patches])
        return torch.cat([rows[place] for place in which])
    if isinstance(found, dict):  # transformers' outputs are ordered dicts
        return type(found)(**{name: _dealt_out(value, patches, which) for name, value in found.items()})
    if isinstance(found, (list, tuple)):
        return type(found)(_dealt_out(value, patches, which) for value in found)
    return found
