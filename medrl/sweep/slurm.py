"""Hand a sweep to Slurm as one job array: element i runs `medrl sweep RECIPE … --only i`, a few at a time."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence

from medrl.errors import MedrlError
from medrl.plugin import find_file
from medrl.sweep.layout import Sweep
from medrl.sweep.plan import override

SCRIPT = "slurm/sweep.sbatch"
SBATCH_S = 60.0


def submission(sweep: Sweep, indices: Sequence[int], throttle: int, options: Sequence[str], retry: bool) -> list[str]:
    """The sbatch command. `options`: of sbatch, such as `--partition=gpu`; they count after ours."""
    if throttle < 1:
        raise MedrlError(f"--throttle {throttle}: how many elements run at once; expected at least 1.")
    element = [sys.executable, "-m", "medrl", *again_arguments(sweep), *(["--retry"] if retry else [])]
    return [
        "sbatch", "--parsable", f"--array={','.join(map(str, indices))}%{throttle}", f"--job-name={sweep.name}",
        f"--output={sweep.folder / 'logs' / 'slurm-%A_%a.log'}", *options, str(find_file(SCRIPT)), *element,
    ]  # fmt: skip


def again_arguments(sweep: Sweep) -> list[str]:
    """The arguments of `medrl` that plan the same sweep in the same folder."""
    place = [override("name", sweep.name), override("runs_dir", str(sweep.folder.parent))]
    return ["sweep", sweep.recipe, *sweep.overrides, *sweep.block_overrides, *place]


def submit(command: Sequence[str]) -> str:
    """Submit; the array's job id. MedrlError with sbatch's own words where it refuses."""
    if shutil.which("sbatch") is None:
        raise MedrlError("--slurm: there is no sbatch here. Run this on a machine from which jobs are submitted.")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SBATCH_S, check=False)
    except subprocess.TimeoutExpired:
        raise MedrlError(f"--slurm: sbatch did not answer within {SBATCH_S:g} s; the controller may be down.") from None
    if done.returncode != 0:
        raise MedrlError(f"--slurm: sbatch refused: {done.stderr.strip()}\nThe command was: {shlex.join(command)}")
    return done.stdout.strip().partition(";")[0]
