"""Engine `verl`: the process that starts Ray, builds verl's workers and servers, and runs the steps of trainer.py."""

import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf, open_dict

from medrl.cluster.settings import Machine, compose, overrides, this_machine
from medrl.cluster.start import prepare
from medrl.learning.attempt import StopRequest, attempt, recorder
from medrl.learning.plan import Plan
from medrl.recipe import Recipe
from medrl.record.loggers import ExternalLoggers
from medrl.record.run import Run
from medrl.scoring.workers.service import open_service

# logical CPUs: verl's small actors ask Ray for one each and mostly wait; with fewer than it asks for, it hangs silently
LOGICAL_CPUS = 64


def train(
    plan: Plan,
    run: Run,
    observe: Callable[[dict[str, Any]], None] = lambda entry: None,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run or resume the plan's recipe in `run` on a cluster; returns summary.json. Always leaves a summary.

    `observe` sees every journal entry; `tell` gets a line on what a long wait is for.
    """

    def steps(stop: StopRequest) -> Iterator[int]:
        with closing(ExternalLoggers(plan.recipe, run.folder)) as loggers:
            log = recorder(plan.recipe, run, loggers, observe, stop)
            yield from _steps(plan, run, log, tell, stop)

    return attempt(run, plan.recipe.training.steps, "verl", steps)


def _steps(
    plan: Plan, run: Run, log: Callable[[dict[str, Any]], None], tell: Callable[[str], None], stop: StopRequest
) -> Iterator[int]:
    recipe = plan.recipe
    temp = Path(tempfile.gettempdir())  # the supervisor's: removed with everything in it
    machine = this_machine(recipe)
    start = prepare(plan, run)
    environment = prepare_environment(recipe, machine, temp)
    with ray_cluster(recipe, machine, environment, temp, run.folder / "logs"):
        from medrl.cluster.trainer import ClusterTrainer
        from medrl.cluster.watch import watch

        config = compose(overrides(recipe, machine, start.model_path))
        with open_dict(config):
            config.transfer_queue.enable = True
            config.medrl = {
                "recipe": OmegaConf.to_container(OmegaConf.structured(recipe)),
                "beside": str(plan.beside),
                "root": str(plan.builder.root),
            }
        OmegaConf.resolve(config)
        with (
            watch(tell, recipe.engine.start_timeout_s) as watching,
            open_service(recipe.scoring, plan.rewards) as scoring,
        ):
            trainer = ClusterTrainer(config, plan, run, log, start, watching, stop, scoring)
            trainer.init()
            yield from trainer.fit()


def prepare_environment(recipe: Recipe, machine: Machine, temp: Path) -> dict[str, str]:
    """Set the variables verl, Ray and vLLM read, here and for every worker; returns those for the workers."""
    variables = {
        "VERL_ENGINE_VENDOR": "medrl",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TMPDIR": str(temp),
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VERL_LOGGING_LEVEL": "WARNING",
        "TQ_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_prestart_worker_first_driver": "0",  # verl has actors only; idle workers would import for nothing
        "RAY_worker_niceness": "0",  # the workers are the job; at Ray's 15 any other process starves them
        "TRANSFER_QUEUE_ENABLE": "1",
    }
    if machine.device == "cpu":
        threads = max(1, machine.cpus // recipe.engine.gpus_per_node)  # update and generation take turns
        variables |= {
            "VERL_PLATFORM": "cpu",
            "VERL_USE_EXTERNAL_MODULES": "medrl.cluster.cpu_platform",
            "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
            "VLLM_CPU_SGL_KERNEL": "0",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "TORCH_COMPILE_DISABLE": "1",  # vLLM compiles two small functions with the C++ compiler: 10 s, every time
            "OMP_NUM_THREADS": str(threads),
            "PYTHONPATH": os.pathsep.join([_vllm_named_as_verl_expects(temp), *_python_path()]),
        }
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every import would be compiled again, in every process
    os.environ.update(variables)
    warnings.filterwarnings(
        "ignore", message=".* engine is not available|Disabled critic"
    )  # verl's news, not the user's
    return variables


@contextmanager
def ray_cluster(
    recipe: Recipe, machine: Machine, environment: dict[str, str], temp: Path, logs: Path
) -> Iterator[None]:
    """A Ray cluster of this machine's own, or the one RAY_ADDRESS names; left as it was found.

    When the block fails, what the workers said is kept in `logs`.
    """
    import ray

    common: dict[str, Any] = {
        "runtime_env": {"env_vars": environment},
        "log_to_driver": False,
        "configure_logging": False,
    }
    if os.environ.get("RAY_ADDRESS"):
        ray.init(address="auto", **common)
    else:
        gpus = recipe.engine.gpus_per_node if machine.device == "cpu" else None
        ray.init(
            address="local",  # else it would join whichever cluster somebody has started on this machine
            num_cpus=max(LOGICAL_CPUS, machine.cpus),
            num_gpus=gpus,
            include_dashboard=False,
            _temp_dir=str(temp / "r"),
            **common,
        )
    try:
        yield
    except BaseException:
        _keep_logs(temp / "r" / "session_latest" / "logs", logs)
        raise
    finally:
        ray.shutdown()


def _keep_logs(session: Path, logs: Path) -> None:
    """Copy the workers' output out of the folder that is about to be removed; empty files are left behind."""
    logs.mkdir(exist_ok=True)
    for file in session.glob("*") if session.is_dir() else []:
        if file.is_file() and file.stat().st_size and file.name.startswith(("worker-", "raylet", "gcs_server")):
            shutil.copy(file, logs / file.name)


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
