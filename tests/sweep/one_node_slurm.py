"""A real Slurm of one node on this machine, for a test: munged, slurmctld and slurmd on the loopback, gone afterwards."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
CONF = """
ClusterName=sweep
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={port_of_node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={place}/m.sock
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
MpiDefault=none
SwitchType=switch/none
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
MessageTimeout=10
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 Boards=1 SocketsPerBoard=1 CoresPerSocket=4 ThreadsPerCore=1 RealMemory=8000
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def one_node_slurm() -> Iterator[dict[str, str]]:
    """The environment in which sbatch and scontrol reach it. Needs root; a missing daemon is a broken set-up."""
    missing = [name for name in DAEMONS if shutil.which(name) is None]
    assert not missing, f"{missing} missing: apt-get install slurm-wlm munge"
    place = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # short, and the daemons want it to be root's alone
    place.chmod(0o755)
    for name in ("state", "spool", "munge"):
        (place / name).mkdir()
    (place / "munge").chmod(0o700)
    key = place / "munge" / "key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    conf = place / "slurm.conf"
    conf.write_text(CONF.format(host=host, port=_free_port(), port_of_node=_free_port(), place=place))
    environment = {**os.environ, "SLURM_CONF": str(conf)}
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        munge = place / "munge"
        start = [
            ["munged", "-F", f"--socket={place}/m.sock", f"--key-file={key}", f"--log-file={munge}/log",
             f"--pid-file={munge}/pid", f"--seed-file={munge}/seed"],
            ["slurmctld", "-D", "-c", "-f", str(conf)],
            ["slurmd", "-D", "-c", "-f", str(conf), "-N", host],
        ]  # fmt: skip
        for command in start:
            with (place / f"{command[0]}.out").open("wb") as out:
                daemons.append(subprocess.Popen(command, env=environment, stdout=out, stderr=out))
            if command[0] == "munged":
                _wait(lambda: (place / "m.sock").exists(), 10, place)
        _wait(lambda: "idle" in _says(["sinfo", "-h", "-o", "%T"], environment), 30, place)
        yield environment
    finally:
        _says(["scancel", "--user=root"], environment)
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in reversed(daemons):
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(place, ignore_errors=True)


def finished_tasks(job: str, environment: dict[str, str], timeout_s: float) -> tuple[dict[int, str], int]:
    """({array index: its JobState at the end}, most that ran at once), without accounting: from scontrol."""
    deadline, most = time.monotonic() + timeout_s, 0
    while True:
        states = {}
        text = _says(["scontrol", "show", "job", job, "--oneliner"], environment)
        for line in text.splitlines():
            facts = dict(word.partition("=")[::2] for word in line.split())
            states[facts["ArrayTaskId"]] = facts["JobState"]
        most = max(most, sum(state in ("RUNNING", "COMPLETING") for state in states.values()))
        if states and not set(states.values()) & {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING"}:
            return {int(index): state for index, state in states.items()}, most
        assert time.monotonic() < deadline, f"not finished within {timeout_s:g} s:\n{text}"
        time.sleep(0.3)


def _says(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False).stdout


def _wait(ready, timeout_s: float, place: Path) -> None:
    deadline = time.monotonic() + timeout_s
    while not ready():
        logs = "\n".join(f"{path.name}: {path.read_text()[-800:]}" for path in place.glob("*.out"))
        assert time.monotonic() < deadline, f"Slurm did not come up within {timeout_s:g} s:\n{logs}"
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
