"""vLLM's side of the CPU engine: its plug-in `medrl_cpu`, which does nothing unless VERL_PLATFORM=cpu."""

import os


def register() -> None:
    """Keep vLLM's linear weights where verl can overwrite them. Called by vLLM in each of its processes.

    Its CPU layers repack weights into oneDNN handles and free the originals, so the first weight sync would find a
    parameter of size 0. Stands in for `_supports_onednn = bool(hasattr(torch.ops._C, …))` in vllm/_custom_ops.py (0.24.0);
    the other repacking, for AMX, has its own switch: VLLM_CPU_SGL_KERNEL=0.
    """
    if os.environ.get("VERL_PLATFORM", "").strip().lower() != "cpu":
        return
    from vllm import _custom_ops

    if not hasattr(_custom_ops, "_supports_onednn"):
        raise RuntimeError(
            "vllm._custom_ops has no _supports_onednn: medrl was built for vLLM 0.24. Install constraints.txt."
        )
    _custom_ops._supports_onednn = False
