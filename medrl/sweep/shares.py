"""How many runs at once on this machine, and which cores and GPUs each of them has to itself."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from medrl.recipe import Recipe

Item = TypeVar("Item")


@dataclass(frozen=True)
class Share:
    """`gpus`: as in CUDA_VISIBLE_DEVICES; None leaves that variable as it is."""

    cores: tuple[int, ...]
    gpus: tuple[str, ...] | None = None

    def environment(self) -> dict[str, str]:
        """What a run's process has to know of its share."""
        threads = len(self.cores)
        if os.environ.get("OMP_NUM_THREADS", "").isdigit():  # told to use fewer
            threads = min(threads, int(os.environ["OMP_NUM_THREADS"]))
        devices = {} if self.gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)}
        return {"OMP_NUM_THREADS": str(max(threads, 1)), **devices}


def shares(count: int, cores: Collection[int] | None = None, gpus: list[str] | None = None) -> list[Share]:
    """Shares that differ by one core at most; with more shares than cores, or than GPUs, some have the same one.

    >>> [share.cores for share in shares(2, cores=[0, 1, 2], gpus=[])]
    [(0, 1), (2,)]
    """
    there = sorted(os.sched_getaffinity(0) if cores is None else cores)
    devices = visible_gpus() if gpus is None else gpus
    return [
        Share(tuple(_part(there, number, count)), tuple(_part(devices, number, count)) if devices else None)
        for number in range(count)
    ]


def default_at_once(recipes: Collection[Recipe]) -> int:
    """As many as the cores have threads for; one where a run takes a GPU, or the whole machine by itself (engine verl)."""
    gpus = bool(visible_gpus())
    if any(one.engine.name == "verl" or (gpus and one.engine.device != "cpu") for one in recipes):
        return 1
    cores = len(os.sched_getaffinity(0))
    threads = max((one.engine.threads or cores for one in recipes), default=1)
    return max(1, min(len(recipes), cores // max(1, threads)))


def visible_gpus() -> list[str]:
    """GPUs that a process may use, as CUDA_VISIBLE_DEVICES names them; torch is not asked, it would hold one."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return [one.strip() for one in told.split(",") if one.strip() not in ("", "-1")]
    found = [path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")]
    return sorted((one for one in found if one.isdigit()), key=int)


def _part(items: list[Item], number: int, count: int) -> list[Item]:
    """The share of one of `count`: a run of neighbours, or one that is shared where there are too few."""
    if len(items) < count:
        return [items[number % len(items)]] if items else []
    size, left = divmod(len(items), count)
    start = number * size + min(number, left)
    return items[start : start + size + (number < left)]
