"""Which samples a step sees: a function of seed and step alone, so a resumed run continues in the same order."""

import numpy as np

from medrl.rollout.seeds import derive_seed


def batch_indices(items: int, step: int, size: int, seed: int, shuffle: bool = True) -> list[int]:
    """Indices of 0-based `step`: each pass over the data in a new order, the last incomplete batch of a pass left out.

    >>> batch_indices(5, 0, 2, seed=0, shuffle=False), batch_indices(5, 2, 2, seed=0, shuffle=False)
    ([0, 1], [0, 1])
    """
    per_pass = items // size
    if per_pass == 0:
        raise ValueError(f"{items} items cannot fill a batch of {size}")
    number, position = divmod(step, per_pass)
    order = np.arange(items)
    if shuffle:
        order = np.random.default_rng(derive_seed(seed, "order", number)).permutation(items)
    return order[position * size : (position + 1) * size].tolist()
