"""What another reward changes in the order of attempts: best attempts, inverted pairs, Kendall's tau. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAME = 1e-9  # rewards that differ by less are the same


@dataclass(frozen=True)
class Order:
    """Two rankings of one group. `best_old` and `best_new` are places in the group; `tau` is None where one is flat."""

    pairs: int
    inverted: int
    changed: int
    tau: float | None
    best_old: tuple[int, ...]
    best_new: tuple[int, ...]


def compare(old: Sequence[float], new: Sequence[float]) -> Order:
    """How the order of a group's attempts under `new` differs from that under `old`.

    A pair is inverted when the better became the worse, and changed also when a tie was made or broken. `tau` is
    Kendall's tau-b, 1 for the same order and -1 for the opposite one (Kendall 1945).

    >>> compare([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    Order(pairs=3, inverted=1, changed=3, tau=-0.5, best_old=(0,), best_new=(1,))
    """
    before, after = _signs(old), _signs(new)
    upper = np.triu_indices(len(old), 1)
    one, other = before[upper], after[upper]
    scale = float(np.sqrt((one != 0).sum() * (other != 0).sum()))
    return Order(
        pairs=len(one),
        inverted=int((one * other < 0).sum()),
        changed=int((one != other).sum()),
        tau=float((one * other).sum()) / scale if scale else None,
        best_old=_best(before),
        best_new=_best(after),
    )


def sign_changes(old: Sequence[float], new: Sequence[float]) -> dict[str, int]:
    """Advantages that changed sides: `flipped` from push to pull or back, `silenced` to 0, `woken` from 0.

    >>> sign_changes([0.5, -0.5, 0.0, 1.0], [-0.1, 0.0, 2.0, 3.0])
    {'compared': 4, 'flipped': 1, 'silenced': 1, 'woken': 1}
    """
    before, after = (np.sign(np.where(np.abs(values) < SAME, 0, values)) for values in (np.array(old), np.array(new)))
    return {
        "compared": len(before),
        "flipped": int((before * after < 0).sum()),
        "silenced": int(((before != 0) & (after == 0)).sum()),
        "woken": int(((before == 0) & (after != 0)).sum()),
    }


def _signs(values: Sequence[float]) -> NDArray[np.float64]:
    """(attempts, attempts): 1 where the row's attempt is better than the column's, 0 where they are alike."""
    array = np.asarray(values, dtype=np.float64)
    difference = array[:, None] - array[None, :]
    return np.asarray(np.sign(np.where(np.abs(difference) < SAME, 0.0, difference)))


def _best(signs: NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(int(place) for place in np.flatnonzero((signs >= 0).all(1)))
