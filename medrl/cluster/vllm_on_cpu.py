"""vLLM's side of the CPU engine: its plug-in `medrl_cpu`, which does nothing unless VERL_PLATFORM=cpu.

The lines stood in for are vLLM 0.24.0's; a part that is no longer there fails loudly, with the way out.
"""

import os
from collections.abc import Callable
from typing import Any


def register() -> None:
    """Called by vLLM in each of its processes."""
    if os.environ.get("VERL_PLATFORM", "").strip().lower() != "cpu":
        return
    from vllm import _custom_ops
    from vllm.model_executor.models import registry

    _live_weights(_custom_ops)
    _look_at_models_here(registry)


def _live_weights(custom_ops: Any) -> None:
    """Keep vLLM's linear weights where verl can overwrite them.

    Its CPU layers repack weights into oneDNN handles and free the originals, so the first weight sync would find a
    parameter of size 0. Stands in for `_supports_onednn = bool(hasattr(torch.ops._C, …))` in vllm/_custom_ops.py;
    the other repacking, for AMX, has its own switch: VLLM_CPU_SGL_KERNEL=0.
    """
    _need(custom_ops, "_supports_onednn")
    custom_ops._supports_onednn = False


def _look_at_models_here(registry: Any) -> None:
    """Ask a model class about itself in this process, not in a new one that imports torch and vLLM again (16 s).

    vLLM goes to a new process to keep CUDA out of this one, and there is none. Stands in for `_run_in_subprocess` in
    vllm/model_executor/models/registry.py.
    """
    _need(registry, "_run_in_subprocess")

    def run_here(look: Callable[[], Any]) -> Any:
        return look()

    registry._run_in_subprocess = run_here


def _need(module: Any, name: str) -> None:
    if not hasattr(module, name):
        raise RuntimeError(f"{module.__name__} has no {name}: medrl was built for vLLM 0.24. Install constraints.txt.")
