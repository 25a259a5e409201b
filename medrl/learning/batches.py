"""Which samples a step sees: a function of seed and step alone, so a resumed run continues in the same order."""

import numpy as np

from medrl.rollout.seeds import derive_seed


def batch_indices(items: int, step: int, size: int, seed: int, shuffle: bool = True) -> list[int]:
    """Indices of 0-based `step`: each pass over the data in a new order, the last incomplete batch of a pass left out.

    >>> batch_indices(5, 0, 2, seed=0, shuffle=False), batch_indices(5, 2, 2, seed=0, shuffle=False)
    ([0, 1], [0, 1])
    """
    number, position = _place(items, step, size)
    order = np.arange(items)
    if shuffle:
        order = np.random.default_rng(derive_seed(seed, "order", number)).permutation(items)
    return order[position * size : (position + 1) * size].tolist()


def ordered_indices(items: int, step: int, size: int, seed: int) -> list[int]:
    """Indices of 0-based `step`, ascending over each pass. What does not fill a batch is left out of a pass by lot, in
    every pass anew: cut off at the end it would always be the same last items, of a course the hardest.

    >>> ordered_indices(4, 0, 2, seed=0), ordered_indices(4, 1, 2, seed=0), ordered_indices(4, 2, 2, seed=0)
    ([0, 1], [2, 3], [0, 1])
    """
    number, position = _place(items, step, size)
    drawn = np.random.default_rng(derive_seed(seed, "left out", number)).permutation(items)
    kept = np.sort(drawn[: items // size * size])
    return kept[position * size : (position + 1) * size].tolist()


def _place(items: int, step: int, size: int) -> tuple[int, int]:
    """(number of the pass, batch within it) of a step."""
    per_pass = items // size
    if per_pass == 0:
        raise ValueError(f"{items} items cannot fill a batch of {size}")
    return divmod(step, per_pass)
