"""Engine `verl`: the process that starts Ray, builds verl's workers and servers, and runs the steps of trainer.py."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf, open_dict

from medrl.cluster.settings import Machine, base_folder, compose, overrides
from medrl.learning.attempt import StopRequest, attempt
from medrl.learning.cold_start import cold_start
from medrl.learning.model import load_model, merged, pick_device
from medrl.learning.plan import Plan
from medrl.recipe import Recipe
from medrl.record.loggers import ExternalLoggers
from medrl.record.run import Run

# logical CPUs: verl's small actors ask Ray for one each and mostly wait; with fewer than it asks for, it hangs silently
LOGICAL_CPUS = 64


def train(plan: Plan, run: Run, observe: Callable[[dict[str, Any]], None] = lambda entry: None) -> dict[str, Any]:
    """Run or resume the plan's recipe in `run` on a cluster; returns summary.json. Always leaves a summary."""

    def steps(stop: StopRequest) -> Iterator[int]:
        with closing(ExternalLoggers(plan.recipe, run.folder)) as loggers:

            def log(entry: dict[str, Any]) -> None:
                run.log(entry)
                loggers.log(entry)
                observe(entry)

            yield from _steps(plan, run, log, stop)

    return attempt(run, plan.recipe, "verl", steps)


def _steps(plan: Plan, run: Run, log: Callable[[dict[str, Any]], None], stop: StopRequest) -> Iterator[int]:
    recipe = plan.recipe
    resumed = run.rewind()
    model_path = starting_model(plan, run, log, keep=resumed is not None)
    machine = Machine(pick_device(recipe.engine.device), os.cpu_count() or 1)
    temp = Path(tempfile.gettempdir())  # the supervisor's, removed with everything in it
    environment = prepare_environment(recipe, machine, temp)

    from medrl.cluster.trainer import ClusterTrainer

    config = compose(overrides(recipe, machine, model_path))
    with open_dict(config):
        config.transfer_queue.enable = True
        config.medrl = {
            "recipe": OmegaConf.to_container(OmegaConf.structured(recipe)),
            "beside": str(plan.beside),
            "root": str(plan.builder.root),
        }
    OmegaConf.resolve(config)
    with ray_cluster(recipe, machine, environment, temp), _transfer_queue(config):
        trainer = ClusterTrainer(config, plan, run, log, resumed, stop)
        trainer.init()
        yield from trainer.fit()


def starting_model(plan: Plan, run: Run, log: Callable[[dict[str, Any]], None], keep: bool) -> str:
    """What GRPO starts from: the recipe's model, or a folder in the run for `tiny` and after a cold start."""
    recipe, folder = plan.recipe, base_folder(run.folder)
    if keep and folder.is_dir():
        return str(folder.resolve())
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was ended before its first checkpoint
    wanted = recipe.sft.steps and plan.demonstrations
    if recipe.model.path != "tiny" and not wanted:
        return recipe.model.path
    loaded = load_model(recipe.model, recipe.engine, recipe.seed, run.folder / "tiny")
    if wanted and plan.demonstrations:
        share = not recipe.model.gradient_checkpointing
        cold_start(loaded.policy, plan.builder, plan.demonstrations.samples, recipe.sft, recipe.seed, log, share)
    merged(loaded.policy.model).save_pretrained(folder)
    loaded.processor.save_pretrained(folder)
    return str(folder.resolve())


def prepare_environment(recipe: Recipe, machine: Machine, temp: Path) -> dict[str, str]:
    """Set the variables verl, Ray and vLLM read, here and for every worker; returns those for the workers."""
    variables = {
        "VERL_ENGINE_VENDOR": "medrl",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TMPDIR": str(temp),
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VERL_LOGGING_LEVEL": "WARNING",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # the workers are the job; at Ray's 15 any other process starves them
        "TRANSFER_QUEUE_ENABLE": "1",
    }
    if machine.device == "cpu":
        threads = recipe.engine.threads or max(1, machine.cpus // recipe.engine.gpus_per_node)
        variables |= {
            "VERL_PLATFORM": "cpu",
            "VERL_USE_EXTERNAL_MODULES": "medrl.cluster.cpu_platform",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_SGL_KERNEL": "0",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(threads),
            "PYTHONPATH": os.pathsep.join([_vllm_named_as_verl_expects(temp), *_python_path()]),
        }
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every import would be compiled again, in every process
    os.environ.update(variables)
    return variables


@contextmanager
def ray_cluster(recipe: Recipe, machine: Machine, environment: dict[str, str], temp: Path) -> Iterator[None]:
    """A Ray cluster of this machine's own, or the one RAY_ADDRESS names; left as it was found."""
    import ray

    common = {"runtime_env": {"env_vars": environment}, "log_to_driver": False, "configure_logging": False}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(address="auto", **common)
    else:
        gpus = recipe.engine.gpus_per_node if machine.device == "cpu" else None
        ray.init(
            num_cpus=max(LOGICAL_CPUS, machine.cpus), num_gpus=gpus, include_dashboard=False, _temp_dir=str(temp / "r"), **common
        )
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _transfer_queue(config: Any) -> Iterator[None]:
    """verl's store of rollouts in flight."""
    import transfer_queue

    transfer_queue.init(config.transfer_queue)
    try:
        yield
    finally:
        transfer_queue.close()


def _vllm_named_as_verl_expects(temp: Path) -> str:
    """A folder that says which version of `vllm` is here; verl asks for that name, and the CPU build is called vllm-cpu.

    The version keeps `cpu` in it: vLLM recognises its own CPU build by that.
    """
    site = temp / "site"
    number = version("vllm-cpu").split("+")[0]
    metadata = site / f"vllm-{number}+cpu.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True, exist_ok=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {number}+cpu\n")
    sys.path.insert(0, str(site))
    return str(site)


def _python_path() -> list[str]:
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
