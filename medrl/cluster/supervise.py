"""The small parent of a cluster run: starts the driver, passes signals on to it and clears up after it.

However the driver ends - also by kill -9 or for want of memory - the run has a summary.json that tells the truth, and no
process, shared-memory segment or temporary file of it is left. The exit code is the driver's. Linux only; call it from the
main thread of a light process: torch is imported here only to write the summary that the driver could not.
"""

import ctypes
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

GRACE_S, TERMINATE_S, KILL_S = 10.0, 3.0, 10.0  # for descendants to go by themselves, after SIGTERM, after SIGKILL
SECOND_SIGNAL_S = 30.0  # what the driver has left after a second Ctrl-C or SIGTERM
TICK_S, LOOK_S = 0.1, 2.0  # between two polls of the driver; between two looks at its descendants
LOOK_SHARE = 0.02  # of one core: where a look is dear (many processes, many mappings), looks are further apart
SHARED_MEMORY = Path("/dev/shm")
SEGMENT_IN_MAPS = re.compile(rb"^\S+ \S+ \S+ \S+ (\d+) +/dev/shm/", re.MULTILINE)  # the inode
SUPERVISOR_PID = "MEDRL_SUPERVISOR_PID"
SWEEP_PID = "MEDRL_SWEEP_PID"  # of the sweep that a run belongs to
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
Segment = tuple[str, int]  # name in /dev/shm and inode, which tells it from a later file of the same name


@dataclass
class _Watch:
    """What is known of the descendants and their segments."""

    strangers: frozenset[int]  # children the caller already had: not ours to signal or to reap
    existing: frozenset[Segment]  # there before the driver: a data set kept in memory stays, whoever opens it
    noted: set[Segment] = field(default_factory=set)


def supervise(command: Sequence[str], run_folder: Path, temp: Path) -> int:
    """Run the driver `command` to its end and return its exit code, 128 + n when signal n killed it.

    `temp` becomes the TMPDIR of the driver and its descendants and is removed at the end. A summary is written only for a
    run that the driver opened in this attempt (Run.open writes recipe.yaml) and left without one.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans of any session become our children instead of init's
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # inherited as ignored, it would cost us the driver's exit status
    watch = _Watch(frozenset(_descendants()), frozenset(_segments()))
    recipe, summary = run_folder / "recipe.yaml", run_folder / "summary.json"
    before, started = (stamp(recipe), stamp(summary)), time.monotonic()
    environment = {**os.environ, "TMPDIR": str(temp), SUPERVISOR_PID: str(os.getpid())}
    with signals_kept() as asked:
        try:
            # a session of its own: Ctrl-C on the terminal reaches this process alone, and the driver once, through it
            driver = subprocess.Popen(command, env=environment, start_new_session=True)
            overdue = _follow(driver, asked, watch)
            seconds = time.monotonic() - started
        finally:
            _end_descendants(watch)
            _remove_segments(watch.noted)
            _remove_folder(temp)
        reason = _reason(driver, asked, overdue)
        opened, summed_up = (stamp(path) not in (None, old) for path, old in zip((recipe, summary), before))
        if not summed_up and driver.returncode < 0:
            _say(reason)  # who was killed has said nothing
        if opened and not summed_up:
            write_summary(run_folder, reason, seconds, "verl")
    return driver.returncode if driver.returncode >= 0 else 128 - driver.returncode


def end_with_parent(variable: str = SUPERVISOR_PID) -> None:
    """For a child to call first: have SIGTERM sent to it when its parent dies. Nothing where the variable names no parent.

    Raises SystemExit when the parent is already gone.
    """
    supervisor = os.environ.pop(variable, None)  # popped: it means this process, not those it will start
    if supervisor is None:
        return
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(supervisor):  # it died before the line above, so no signal will come
        raise SystemExit(
            f"medrl: the process that started this one (pid {supervisor}) is gone; nobody would look after it"
        )


@contextmanager
def signals_kept() -> Iterator[list[int]]:
    """Collect SIGINT, SIGTERM and SIGHUP in the yielded list instead of dying of them, also while clearing up."""
    asked: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    if before[signal.SIGHUP] is signal.SIG_IGN:  # under nohup, which is to be obeyed
        del before[signal.SIGHUP]
    for number in before:
        signal.signal(number, lambda number, frame: asked.append(number))
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _follow(driver: subprocess.Popen[bytes], asked: list[int], watch: _Watch) -> bool:
    """Wait for the driver's end, passing signals on; whether it had to be killed, SECOND_SIGNAL_S after a second one."""
    passed_on, kill_at, look_at, overdue = 0, float("inf"), 0.0, False
    while driver.poll() is None:  # waits for this child only and keeps its status
        for number in asked[passed_on:]:
            driver.send_signal(signal.SIGTERM if number == signal.SIGHUP else number)
            passed_on += 1
            if passed_on == 2:
                kill_at = time.monotonic() + SECOND_SIGNAL_S
        if time.monotonic() >= kill_at:
            driver.kill()
            overdue = True
        if time.monotonic() >= look_at:
            used_s = time.process_time()
            processes = _descendants(watch.strangers)
            _reap(processes, driver.pid)
            _note_segments(watch, processes)
            used_s = time.process_time() - used_s
            look_at = time.monotonic() + max(LOOK_S, used_s / LOOK_SHARE)
        time.sleep(TICK_S)
    return overdue


def _end_descendants(watch: _Watch) -> None:
    """Wait GRACE_S for every descendant to go, then send SIGTERM, then SIGKILL; all of them are reaped."""
    _note_segments(watch, _descendants(watch.strangers))
    for number, patience_s in ((0, GRACE_S), (signal.SIGTERM, TERMINATE_S), (signal.SIGKILL, KILL_S)):  # 0: no signal
        signalled: set[int] = set()
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            processes = _descendants(watch.strangers)
            if not processes:  # zombies count: the child of one may have been read while it still had that parent
                return
            for pid in processes.keys() - signalled:  # and those that were started since
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
                signalled.add(pid)
            _reap(processes)  # after the signals: a reaped pid may be anybody's
            time.sleep(TICK_S)
    _say(f"these processes of the run did not end by SIGKILL within {KILL_S:g} s: {sorted(processes)}")


def _descendants(strangers: Collection[int] = ()) -> dict[int, str]:
    """{pid: state letter} of all descendants of this process, zombies included, `strangers` and theirs left out."""
    children: dict[int, list[int]] = {}
    states: dict[int, str] = {}
    for folder in _process_folders():
        with suppress(OSError):  # gone since it was listed
            text = (folder / "stat").read_text(errors="replace")
            state, parent = text[text.rindex(")") + 2 :].split(maxsplit=2)[:2]  # a command's name may hold spaces and )
            states[int(folder.name)] = state
            children.setdefault(int(parent), []).append(int(folder.name))
    found: dict[int, str] = {}
    waiting = [pid for pid in children.get(os.getpid(), []) if pid not in strangers]
    while waiting:
        pid = waiting.pop()
        found[pid] = states[pid]
        waiting += children.get(pid, [])
    return found


def _process_folders() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def _reap(processes: dict[int, str], driver_pid: int | None = None) -> None:
    """Take the exit status of adopted zombies, each by its pid, so that the driver's is left to `driver.poll`."""
    for pid, state in processes.items():
        if state == "Z" and pid != driver_pid:
            with suppress(ChildProcessError):  # its own parent lives and will do it
                os.waitpid(pid, os.WNOHANG)


def _segments() -> set[Segment]:
    """This user's files directly in /dev/shm, where shm_open and sem_open put theirs; what lies in folders is none of ours."""
    found = set()
    for path in SHARED_MEMORY.iterdir():
        with suppress(FileNotFoundError):  # gone since it was listed
            facts = path.lstat()
            if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.getuid():
                found.add((path.name, facts.st_ino))
    return found


def _note_segments(watch: _Watch, processes: Collection[int]) -> None:
    """Add to `watch.noted` the segments that one of the processes holds; cheap unless there is a new one in /dev/shm."""
    new = _segments() - watch.existing - watch.noted
    if new:
        inodes = set().union(*(_inodes_held(Path(f"/proc/{pid}")) for pid in processes))
        watch.noted |= {(name, inode) for name, inode in new if inode in inodes}


def _inodes_held(process: Path) -> set[int]:
    """Inodes of the /dev/shm files that a process maps or holds open; none of a process that is gone or another user's.

    Not names: of a semaphore the maps show the temporary name under which sem_open made it.
    """
    found: set[int] = set()
    with suppress(OSError):
        maps = (process / "maps").read_bytes()
        if b"/dev/shm/" in maps:
            found.update(map(int, SEGMENT_IN_MAPS.findall(maps)))
        for number in os.listdir(process / "fd"):  # noqa: PTH208  there may be 20,000 in all, and a Path costs 20 us
            descriptor = f"{process}/fd/{number}"
            with suppress(FileNotFoundError):  # closed since it was listed
                if os.readlink(descriptor).startswith("/dev/shm/"):  # noqa: PTH115
                    found.add(Path(descriptor).stat().st_ino)
    return found


def _remove_segments(noted: set[Segment]) -> None:
    """Unlink the noted segments that are still there and that no process of the machine holds any more."""
    left = noted & _segments()
    if not left:
        return
    inodes = set().union(*map(_inodes_held, _process_folders()))
    for name, inode in left:
        if inode not in inodes:
            (SHARED_MEMORY / name).unlink(missing_ok=True)


def _remove_folder(temp: Path) -> None:
    try:
        shutil.rmtree(temp)
    except FileNotFoundError:
        return
    except OSError as error:
        _say(f"{temp} could not be removed ({error}); remove it by hand")


def stamp(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is written again, even with the same content; None when there is none."""
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size


def _reason(driver: subprocess.Popen[bytes], asked: list[int], overdue: bool) -> str:
    """One sentence on how the driver ended, and what to do."""
    who, code = f"the driver (pid {driver.pid})", driver.returncode
    if overdue:
        names = " and ".join(map(_signal_name, asked[:2]))
        how = f"was asked to stop by {names}, was still there {SECOND_SIGNAL_S:g} s later and was killed"
    elif code < 0:
        how = f"was killed by {_signal_name(-code)}"
        how += "; the kernel's out-of-memory killer does that too" if -code == signal.SIGKILL else ""
    else:
        printed = Path("/proc/self/fd/2").resolve()
        where = f"in {printed}" if printed.is_file() else "where its output went"
        how = f"ended with exit code {code} without a summary; its last lines are {where}"
    return f"{who} {how}. Resume with the same command."


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"  # a real-time one


def write_summary(run_folder: Path, reason: str, seconds: float, engine: str) -> None:
    """The summary that a killed process did not write, and the report."""
    from medrl.record.report import write_report
    from medrl.record.run import Run  # brings torch: not before the run's processes have freed their memory

    run = Run(run_folder)
    run.write_summary(
        status="failed",
        reason=reason,
        engine=engine,
        steps=_last_step(run.journal),
        seconds=seconds,
        val_first=run.read_eval(0),
        val_last=run.last_eval(),
    )
    write_report(run_folder)


def _last_step(journal: Path) -> int:
    """The last GRPO step in metrics.jsonl, 0 when there is none."""
    last = 0
    for line in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []:
        with suppress(ValueError):  # the line that was being written when the driver was killed
            entry = json.loads(line)
            last = entry["step"] if entry["stage"] == "grpo" else last
    return last


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value}) was refused")


def _say(text: str) -> None:
    with suppress(OSError):  # the terminal may be gone
        print(f"medrl: {text}", file=sys.stderr, flush=True)
