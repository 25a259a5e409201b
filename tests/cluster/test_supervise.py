"""The supervisor with real drivers that end well, badly or not at all: what is left of them, and what the summary says."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import shared_memory
from pathlib import Path

import pytest
from makers import recipe

from medrl.cluster import supervise
from medrl.record.run import Run

WAIT_S = 60
# the real ones would make the tests slow
SHORT = {"GRACE_S": 1.0, "TERMINATE_S": 0.5, "LOOK_S": 0.1, "SECOND_SIGNAL_S": 1.0}
PARENT = """
import os, sys
from pathlib import Path
from medrl.cluster import supervise
for name, seconds in {short!r}.items():
    setattr(supervise, name, seconds)
code = supervise.supervise([sys.executable, {driver!r}], Path({run!r}), Path({temp!r}))
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    sys.exit(code)
sys.exit(99)  # a child is left, alive or as a zombie
"""
DRIVER = """
import json, multiprocessing, os, signal, socket, sys, time
from multiprocessing import resource_tracker, shared_memory
from pathlib import Path
from medrl.cluster.supervise import end_with_parent
from medrl.record.files import write_json, write_text
end_with_parent()
run, notes = Path({run!r}), Path({notes!r})

def note(name, value=""):
    write_text(notes / name, str(value))

def await_note(name):
    deadline = time.monotonic() + {wait_s}
    while not (notes / name).exists():
        assert time.monotonic() < deadline, name
        time.sleep(0.02)

def open_run():  # what Run.open does to an existing run, without importing torch
    write_text(run / "recipe.yaml", (run / "recipe.yaml").read_text())

def segment(**values):
    made = shared_memory.SharedMemory(**values)
    resource_tracker.unregister(made._name, "shared_memory")  # it would remove what we want to leave behind
    return made

"""


class Scene:
    """A run folder, a short temporary folder and a place for the driver's notes."""

    def __init__(self, folder: Path, temp: Path) -> None:
        self.folder, self.temp, self.notes = folder, temp, folder / "notes"
        self.notes.mkdir()
        self.run = folder / "runs" / "test"
        self.started: list[subprocess.Popen] = []

    def start(self, driver: str, wrapper: str = "exec {command}", **options) -> subprocess.Popen:
        values = {"run": str(self.run), "notes": str(self.notes), "wait_s": WAIT_S}
        (self.folder / "driver.py").write_text(DRIVER.format(**values) + driver)
        parent = PARENT.format(
            driver=str(self.folder / "driver.py"), temp=str(self.temp), short=SHORT, run=values["run"]
        )
        (self.folder / "parent.py").write_text(parent)
        command = wrapper.format(command=shlex.join([sys.executable, str(self.folder / "parent.py")]))
        # a session of its own, so that killpg stands for the Ctrl-C of a terminal
        # SIGHUP as it comes by default, also where the tests themselves run under nohup
        default = partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)
        process = subprocess.Popen(["sh", "-c", command], start_new_session=True, preexec_fn=default, **options)
        self.started.append(process)
        return process

    def read(self, name: str) -> str:
        path = self.notes / name
        wait_until(path.exists, f"the driver's note {name}")
        return path.read_text()

    def summary(self) -> dict:
        return json.loads((self.run / "summary.json").read_text())


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, f"waited {WAIT_S} s for {what}"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path, Path(tempfile.mkdtemp(prefix="medrl-", dir="/tmp")))
    yield made
    for process in made.started:
        process.kill()
        process.wait(WAIT_S)
    for process in Path("/proc").iterdir():  # what a failing supervisor left behind
        try:
            if process.name.isdigit() and str(tmp_path).encode() in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue
    shutil.rmtree(made.temp, ignore_errors=True)


@pytest.fixture
def opened(scene: Scene) -> Scene:
    """A run with two steps, an evaluation before and after them, and the summary of an earlier attempt."""
    run = Run.open(recipe(scene.run.parent, scene.run.name))
    for entry in ({"stage": "sft", "step": 9}, {"stage": "grpo", "step": 1}, {"stage": "grpo", "step": 2}):
        run.log(entry)
    with run.journal.open("a") as file:
        file.write('{"stage": "grpo", "st')  # cut off by a kill
    run.write_eval(0, {"reward": 0.25}, [])
    run.write_eval(2, {"reward": 0.5}, [])
    (run.folder / "summary.json").write_text('{"status": "stopped", "reason": "an earlier attempt"}')
    return scene


def test_supervisor_is_light():
    code = "import sys, medrl.cluster.supervise; sys.exit(bool({'torch', 'ray', 'verl', 'vllm'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=WAIT_S).returncode == 0


@pytest.mark.parametrize("code", [0, 4])
def test_driver_that_wrote_its_summary_keeps_it_and_its_exit_code(opened, code):
    process = opened.start(f"""
open_run()
note("temporary", os.environ["TMPDIR"])
write_json(run / "summary.json", {{"status": "its own"}})
sys.exit({code})
""")
    assert process.wait(WAIT_S) == code
    assert opened.summary() == {"status": "its own"}
    assert opened.read("temporary") == str(opened.temp) and not opened.temp.exists()


KILLED = """
open_run()
note("driver", os.getpid())
await_note("go")
if os.fork() == 0:  # as Ray starts its daemons: a session of its own, and no parent
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        made = segment(create=True, size=4096)
        lent = [segment(name=(notes / name).read_text()) for name in ("held", "older")]
        server = socket.socket(socket.AF_UNIX)
        server.bind(os.environ["TMPDIR"] + "/socket")
        note("made", made.name)
        note("orphan", os.getpid())
        time.sleep(600)
    os._exit(0)
await_note("orphan")
own = segment(create=True, size=4096)  # made after the fork, so nobody holds it any more once the driver was killed
lock = multiprocessing.get_context("spawn").Lock()  # the maps show it under another name
resource_tracker.unregister(lock._semlock.name, "semaphore")
note("lock", "sem." + lock._semlock.name[1:])
note("own", own.name)
time.sleep(600)
"""


def test_killed_driver_leaves_no_process_no_segment_no_file_and_a_true_summary(opened):
    segments = [shared_memory.SharedMemory(create=True, size=4096)]
    older = segments[0]  # there before the run, held by nobody at its end: a data set somebody keeps in memory
    older.close()
    try:
        process = opened.start(KILLED, stderr=subprocess.PIPE, text=True)
        driver = int(opened.read("driver"))
        held = shared_memory.SharedMemory(create=True, size=4096)  # this process's, though the run maps it too
        unknown = shared_memory.SharedMemory(create=True, size=4096)  # nobody holds it, but it was never the run's
        segments += [held, unknown]
        unknown.close()
        for name, text in {"older": older.name, "held": held.name, "go": ""}.items():
            (opened.notes / f"{name}.part").write_text(text)
            (opened.notes / f"{name}.part").rename(opened.notes / name)
        orphan = int(opened.read("orphan"))
        ours = [Path("/dev/shm", opened.read(name)) for name in ("own", "made", "lock")]
        time.sleep(2)  # several looks
        assert all(path.exists() for path in ours) and (opened.temp / "socket").exists() and not is_gone(orphan)
        os.kill(driver, signal.SIGKILL)
        said = process.communicate(timeout=WAIT_S)[1]
        assert process.returncode == 128 + signal.SIGKILL
        assert is_gone(driver) and is_gone(orphan)
        assert not any(path.exists() for path in ours)
        assert all(Path("/dev/shm", segment.name).exists() for segment in segments)
    finally:
        for segment in segments:
            segment.close()
            segment.unlink()
        for note in (opened.notes / name for name in ("own", "made", "lock")):
            if note.exists():  # for when the supervisor fails to remove them
                Path("/dev/shm", note.read_text()).unlink(missing_ok=True)
    assert not opened.temp.exists()
    summary = opened.summary()
    assert (summary["status"], summary["engine"], summary["steps"]) == ("failed", "verl", 2)
    assert f"(pid {driver}) was killed by SIGKILL" in summary["reason"] and summary["reason"] in said
    assert (summary["val_first"], summary["val_last"]) == ({"reward": 0.25}, {"reward": 0.5})
    assert 2 < summary["seconds"] < WAIT_S
    assert (opened.run / "report.html").is_file()


def test_exit_code_without_a_summary_is_a_failure_and_names_the_log(opened):
    with (opened.folder / "slurm.out").open("w") as log:
        process = opened.start("open_run()\nsys.exit(3)", stderr=log)
        assert process.wait(WAIT_S) == 3
    summary = opened.summary()
    assert summary["status"] == "failed" and "ended with exit code 3 without a summary" in summary["reason"]
    assert str(opened.folder / "slurm.out") in summary["reason"]


def test_driver_refused_by_its_checks_leaves_the_earlier_run_as_it_was(opened):
    before = {path: path.read_bytes() for path in opened.run.rglob("*") if path.is_file()}
    assert opened.start("sys.exit(2)").wait(WAIT_S) == 2
    assert {path: path.read_bytes() for path in opened.run.rglob("*") if path.is_file()} == before


def test_driver_that_opened_no_run_leaves_none(scene):
    process = scene.start("os.kill(os.getpid(), signal.SIGSEGV)", stderr=subprocess.PIPE, text=True)
    said = process.communicate(timeout=WAIT_S)[1]
    assert process.returncode == 128 + signal.SIGSEGV and "was killed by SIGSEGV" in said
    assert not scene.run.exists() and not scene.temp.exists()


def test_opening_a_run_again_is_seen_by_its_recipe(opened):
    before = supervise.stamp(opened.run / "recipe.yaml")
    Run.open(recipe(opened.run.parent, opened.run.name))
    assert supervise.stamp(opened.run / "recipe.yaml") not in (None, before)


COUNTING = """
got = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: (got.append(signal.Signals(number).name), note(f"got{len(got)}")))
note("ready")
deadline = time.monotonic() + 60
while len(got) < WANTED and time.monotonic() < deadline:
    time.sleep(0.02)
time.sleep(0.5)  # for one too many
note("all", " ".join(got))
"""


@pytest.mark.parametrize("sent, got", [("SIGINT", "SIGINT"), ("SIGTERM", "SIGTERM"), ("SIGHUP", "SIGTERM")])
def test_signal_to_the_whole_group_reaches_the_driver_once(scene, sent, got):
    process = scene.start(COUNTING.replace("WANTED", "1"))
    scene.read("ready")
    os.killpg(process.pid, getattr(signal, sent))
    assert process.wait(WAIT_S) == 0
    assert scene.read("all") == got


def test_second_signal_is_passed_on_too(scene):
    process = scene.start(COUNTING.replace("WANTED", "2"))
    scene.read("ready")
    os.killpg(process.pid, signal.SIGINT)
    scene.read("got1")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(WAIT_S) == 0
    assert scene.read("all") == "SIGINT SIGINT"


def test_driver_deaf_to_two_signals_is_killed_but_not_to_one(scene):
    process = scene.start(COUNTING.replace("WANTED", "9"), stderr=subprocess.PIPE, text=True)
    scene.read("ready")
    process.send_signal(signal.SIGTERM)
    scene.read("got1")
    time.sleep(2 * SHORT["SECOND_SIGNAL_S"])
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=WAIT_S)[1]
    assert process.returncode == 128 + signal.SIGKILL
    assert "was asked to stop by SIGTERM and SIGINT, was still there 1 s later and was killed" in said


def test_nohup_is_obeyed(scene):
    process = scene.start(COUNTING.replace("WANTED", "1"), wrapper="trap '' HUP; exec {command}")
    scene.read("ready")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_S) == 0
    assert scene.read("all") == "SIGINT"


def test_exit_code_survives_an_inherited_ignored_sigchld(scene):
    """The kernel reaps children of a process that ignores SIGCHLD, and Popen then reports 0."""
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    wrapper = f"exec {sys.executable} -c {shlex.quote(ignoring)} {{command}}"  # dash cannot ignore it by a trap
    assert scene.start("sys.exit(3)", wrapper=wrapper).wait(WAIT_S) == 3


def test_driver_gets_sigterm_when_the_supervisor_is_killed(scene):
    process = scene.start(COUNTING.replace("WANTED", "1"))
    scene.read("ready")
    process.kill()
    assert scene.read("all") == "SIGTERM"


def test_driver_ends_at_once_when_its_supervisor_is_already_gone():
    code = "from medrl.cluster.supervise import end_with_parent; end_with_parent(); print('went on')"
    for supervisor, status in {str(os.getpid()): 0, str(os.getppid()): 1}.items():
        environment = {**os.environ, supervise.SUPERVISOR_PID: supervisor}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=WAIT_S)
        assert done.returncode == status and (b"went on" in done.stdout) == (status == 0)


def test_orphans_are_reaped_while_the_driver_runs(scene):
    process = scene.start("""
if (child := os.fork()) == 0:
    if (orphan := os.fork()) != 0:
        note("orphan", orphan)
    os._exit(0)
os.waitpid(child, 0)
orphan = Path("/proc") / (notes / "orphan").read_text()
deadline = time.monotonic() + 20
while orphan.exists() and time.monotonic() < deadline:
    time.sleep(0.05)
sys.exit(orphan.exists())
""")
    assert process.wait(WAIT_S) == 0


def test_reaping_orphans_leaves_the_drivers_exit_code_to_popen():
    driver = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    os.waitid(os.P_PID, driver.pid, os.WEXITED | os.WNOWAIT)
    zombies = {driver.pid: supervise._descendants()[driver.pid]}
    assert zombies == {driver.pid: "Z"}
    supervise._reap(zombies, driver.pid)
    assert driver.wait(WAIT_S) == 3
