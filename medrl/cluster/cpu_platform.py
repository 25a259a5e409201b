"""A CPU platform for verl, so that the cluster engine runs in every test; on GPUs this file is never imported.

verl imports it at the end of its own import because driver.py names it in VERL_USE_EXTERNAL_MODULES, and picks it by
VERL_PLATFORM=cpu. Ray places CPU workers in *logical* GPU slots, since verl counts only GPUs and NPUs.
"""

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry
from verl.utils import distributed

from medrl.cluster.upstream import expect

NAME = "cpu"
# what verl asks of torch.cuda and torch.cpu does not have
_ABSENT: dict[str, Any] = {
    "memory_allocated": 0, "memory_reserved": 0, "max_memory_allocated": 0, "max_memory_reserved": 0,
    "mem_get_info": (0, 0), "reset_peak_memory_stats": None, "empty_cache": None, "ipc_collect": None,
    "get_device_name": "cpu", "set_device": None,
}  # fmt: skip


class CpuDevice(ModuleType):
    """torch.cpu, with the questions verl asks of torch.cuda answered: no device memory, one random generator."""

    def __getattr__(self, name: str) -> Any:
        if name in _ABSENT:
            return lambda *args, **kwargs: _ABSENT[name]
        for module in (torch.cpu, torch.random):  # get_rng_state, set_rng_state, manual_seed live in torch.random
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(f"the CPU has no {name}")

    @staticmethod
    def get_rng_state(device: object = None) -> torch.Tensor:
        return torch.get_rng_state()

    @staticmethod
    def set_rng_state(state: torch.Tensor, device: object = None) -> None:
        torch.set_rng_state(state)


@PlatformRegistry.register(platform=NAME)
class CpuPlatform(PlatformBase):
    device_name = NAME
    vendor_name = NAME
    device_module = CpuDevice("medrl_cpu_device")

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        return False  # never chosen by detection, only by name

    def current_device(self) -> Any:
        return NAME  # verl uses it as a torch device; "cpu:0" and 0 would both be wrong

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None: ...

    def synchronize(self, device_index: int | None = None) -> None: ...

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None: ...

    def empty_cache(self) -> None: ...

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextlib.contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None: ...

    def profiler_stop(self) -> None: ...

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        return False  # weights reach vLLM through shared memory

    def cudart(self) -> Any:
        return None


def _one_gloo_group() -> None:
    """verl asks for the process group as "cpu:gloo,cpu:gloo", which torch refuses as a duplicate; ask for "gloo".

    Stands in for `backend = backend or f"cpu:gloo,{get_device_name()}:{get_nccl_backend()}"` in
    verl/utils/distributed.py, initialize_global_process_group_ray (verl 0.9.1).
    """
    upstream = distributed.initialize_global_process_group_ray
    expect(upstream, 'backend = backend or f"cpu:gloo,{get_device_name()}:{get_nccl_backend()}"')

    def initialize_global_process_group_ray(timeout_second: int | None = None, backend: str | None = None) -> None:
        upstream(timeout_second, backend or "gloo")

    distributed.initialize_global_process_group_ray = initialize_global_process_group_ray


_one_gloo_group()
