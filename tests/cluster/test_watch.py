"""The watcher over a real Ray: a dead worker ends the driver's wait with its cause, one that was ended on purpose does not."""

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest

from medrl.errors import MedrlError

pytestmark = pytest.mark.cluster


@pytest.fixture
def ray_here():
    import ray

    with tempfile.TemporaryDirectory(prefix="mw-", dir="/tmp") as short:
        ray.init(
            num_cpus=8, include_dashboard=False, log_to_driver=False, configure_logging=False, _temp_dir=str(Path(short) / "r")
        )  # fmt: skip
        try:
            yield ray
        finally:
            ray.shutdown()


def worker_of(ray):
    class WorkerDict:
        def pid(self):
            return os.getpid()

    return ray.remote(WorkerDict)


def test_only_a_death_nobody_wanted_ends_the_wait(ray_here):
    from medrl.cluster.watch import watch

    kind = worker_of(ray_here)
    killed, dropped, wanted = kind.remote(), kind.remote(), kind.remote()
    pid = ray_here.get([one.pid.remote() for one in (killed, dropped, wanted)])[2]
    with (
        pytest.raises(MedrlError, match=f"the FSDP worker with pid {pid} on .* died: .*unexpectedly"),
        watch(print, 600),
    ):
        ray_here.kill(killed)
        del dropped
        time.sleep(6)  # long enough for two looks
        os.kill(pid, signal.SIGKILL)
        died = time.monotonic()
        while time.monotonic() < died + 30:
            time.sleep(0.1)


def test_a_worker_that_finds_no_place_is_named_with_what_the_cluster_has(ray_here):
    from medrl.cluster.watch import Watch

    waiting = worker_of(ray_here).options(num_cpus=99).remote()
    time.sleep(2)
    watching = Watch(print, start_timeout_s=0.5)
    watching.waiting_for("Ray to place the workers")
    time.sleep(1)
    fault = watching.look()
    assert "Ray to place the workers (not placed yet: FSDP worker)" in fault and "of 8 free" in fault
    assert "start_timeout_s" in fault
    del waiting
