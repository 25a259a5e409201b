"""In which order the rollouts of a step are trained on: that of engine `local`, shared out among the workers by length."""

from collections.abc import Iterable, Sequence

import torch
from verl.utils.seqlen_balancing import calculate_workload, get_seqlen_balanced_partitions


def training_order(
    keys: Sequence[str], lengths: Sequence[int], groups: Iterable[str], minibatch: int, workers: int
) -> list[int]:
    """Rows in the order in which equal consecutive shares go to the workers.

    `keys`: `<group>_<attempt>_<number>` per row, as verl names them; `groups` in the order of the step's samples. Every
    `minibatch` rows in local order are dealt out by length, and a worker trains on slices of its own share. verl takes
    rows as they were finished, so what a minibatch holds would change from run to run.
    """
    place = {group: number for number, group in enumerate(groups)}

    def local_order(row: int) -> tuple[int, int]:
        group, attempt, _ = keys[row].split("_")
        return place.get(group, len(place)), int(attempt)  # padding comes last

    rows = sorted(range(len(keys)), key=local_order)
    work = calculate_workload(torch.tensor([lengths[row] for row in rows])).tolist()
    shares: list[list[int]] = [[] for _ in range(workers)]
    for start in range(0, len(rows), minibatch):
        parts = get_seqlen_balanced_partitions(work[start : start + minibatch], workers, equal_size=True)
        for share, part in zip(shares, parts):
            share += [rows[start + index] for index in part]
    return [row for share in shares for row in share]
