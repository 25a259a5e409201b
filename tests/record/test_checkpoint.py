"""A checkpoint is whole or does not exist: kills, full disks and damage never leave the run without one."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from medrl.record.checkpoint import latest_checkpoint, save_checkpoint


def writer(text):
    def write(folder):
        (folder / "model").mkdir()
        (folder / "model" / "weights").write_text(text)
        (folder / "trainer.json").write_text("{}")

    return write


def test_keeps_the_newest_and_points_at_it(tmp_path):
    for step in (2, 10, 9):
        save_checkpoint(tmp_path, step, writer(str(step)), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["global_step_10", "global_step_9", "latest"]
    assert latest_checkpoint(tmp_path).name == "global_step_10"


def test_same_step_again_replaces(tmp_path):
    save_checkpoint(tmp_path, 4, writer("old"), keep=2)
    save_checkpoint(tmp_path, 4, writer("new"), keep=2)
    assert (latest_checkpoint(tmp_path) / "model" / "weights").read_text() == "new"


@pytest.mark.parametrize("damage", ["cut", "removed", "no_manifest"])
def test_a_damaged_one_is_passed_over_by_name(tmp_path, damage):
    save_checkpoint(tmp_path, 1, writer("good"), keep=3)
    newest = save_checkpoint(tmp_path, 2, writer("newest"), keep=3)
    if damage == "cut":
        (newest / "model" / "weights").write_text("new")
    elif damage == "removed":
        (newest / "model" / "weights").unlink()
    else:
        (newest / "manifest.json").unlink()
    with pytest.warns(UserWarning, match="global_step_2: (model/weights|manifest)"):
        assert latest_checkpoint(tmp_path).name == "global_step_1"


def test_a_full_disk_leaves_the_old_one(tmp_path):
    save_checkpoint(tmp_path, 1, writer("good"), keep=1)

    def full(folder):
        (folder / "weights").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, 2, full, keep=1)
    assert latest_checkpoint(tmp_path).name == "global_step_1"
    assert [path.name for path in tmp_path.glob(".*")] == []
    save_checkpoint(tmp_path, 2, writer("later"), keep=1)
    assert latest_checkpoint(tmp_path).name == "global_step_2"


LOOP = """
import sys; from pathlib import Path
from medrl.record.checkpoint import save_checkpoint
def write(folder):
    for name in "abc":
        (folder / name).write_bytes(str(step).encode() * 200_000)
print("ready", flush=True)
for step in range(1, 10_000):
    save_checkpoint(Path(sys.argv[1]), step, write, keep=2)
"""


def test_sigkill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    seen = []
    for attempt in range(12):
        folder = tmp_path / str(attempt)
        process = subprocess.Popen([sys.executable, "-c", LOOP, str(folder)], stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        while not list(folder.glob("global_step_*")):
            time.sleep(0.002)
        time.sleep(0.013 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        found = latest_checkpoint(folder)
        assert found is not None and len({(found / name).stat().st_size for name in "abc"}) == 1
        assert not list(folder.glob(".part_*")), "leftovers must not block the next save"
        seen.append(found.name)
    assert len(set(seen)) > 3, "the kills all fell on the same step"
