"""The scoring service on rewards that hang, die, eat memory and fork: each costs its own call and nothing else."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from medrl.errors import MedrlError
from medrl.recipe import Reward, Scoring
from medrl.scoring.loaded import load_rewards
from medrl.scoring.workers.failed import reason_of
from medrl.scoring.workers.service import Service, default_workers, open_service

ARGUMENTS = "data_source, solution_str, ground_truth, extra_info=None"
HEAD = f"import ctypes, os, random, signal, sys, time\ndef compute_score({ARGUMENTS}):\n    "
ASYNC = f"import asyncio, time\nasync def compute_score({ARGUMENTS}):\n    "
TIMEOUT_S = 0.5
HOUR = "await asyncio.sleep(3600)"


def given(reply="", **extra_info):
    return {"data_source": "test", "solution_str": reply, "ground_truth": "", "extra_info": extra_info}


def loaded(tmp_path, *, timeout_s=TIMEOUT_S, **sources):
    rewards = {}
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
        rewards[name] = Reward(str(tmp_path / f"{name}.py"), timeout_s=timeout_s)
    return load_rewards(rewards)


def tell(outcome):
    """The reason where there is one, else the result."""
    return reason_of(outcome.result) if isinstance(outcome.result, Exception) else outcome.result


def ended(pid, within_s=2.0):
    """Whether the process is gone, or is within that time."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def processes():
    """Reward processes that this one has started."""
    return {
        pid for pid in numbers("/proc") if os.getpid() in _above(pid) and b"medrl.scoring.workers.nursery" in _line(pid)
    }


def _line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def numbers(folder):
    return [int(path.name) for path in Path(folder).iterdir() if path.name.isdigit()]


def _above(pid):
    above = []
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            break
        above.append(pid)
    return above


FAULTS = {  # what a reward does on the reply "fault", how the reason begins, and whether a worker is lost by it
    "hangs in C": ("import re; re.match(r'(a+)+$', 'a' * 60 + 'b')", "timeout after 0.5 s (killed)", True),
    "holds the GIL": ("sum(range(10 ** 13))", "timeout after 0.5 s (killed)", True),
    "hashes for hours": ("import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 2 ** 31 - 1)", "timeout after 0.5 s", True),
    "ignores signals": (
        "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; os.kill(os.getpid(), 15); time.sleep(60)",
        "timeout after 0.5 s (killed)", True,
    ),
    "leaves": ("os._exit(3)", "worker died: exit code 3", True),
    "breaks memory": ("ctypes.string_at(0)", "worker died: killed by signal 11 (SIGSEGV)", True),
    "kills itself": ("os.kill(os.getpid(), signal.SIGKILL)", "worker died: killed by signal 9 (SIGKILL)", True),
    "exits": ("sys.exit(2)", "SystemExit: 2 (mine.py line 4)", False),
    "raises": ("raise KeyError('of mine')", "KeyError: 'of mine' (mine.py line 4)", False),
    "recurses": ("compute_score('', 'fault', '')", "RecursionError: maximum recursion depth exceeded", False),
    "eats 4 GB": ("bytes(4 << 30)", "MemoryError", True),
    "eats 4 GB by and by": ("x = []\n    while True: x.append(bytes(1 << 20))", "MemoryError", True),
    "returns too much": ("return {'score': 1.0, 'log': 'x' * (2 << 20)}", "returned 2.1 MB", False),
    "says it is done": (
        "[os.write(fd, b'[\"done\"]\\n') for fd in range(3, 100) if os.path.exists(f'/proc/self/fd/{fd}') "
        "and 'socket' in os.readlink(f'/proc/self/fd/{fd}')]; time.sleep(0.2)",
        "worker died: sent what is no result", True,
    ),
    "closes its files": ("os.closerange(0, 100); time.sleep(0.1)", "worker died", True),
    "writes to its socket": (
        "[os.write(fd, b'{}\\n[]\\nno\\n') for fd in range(3, 100) if os.path.exists(f'/proc/self/fd/{fd}') "
        "and 'socket' in os.readlink(f'/proc/self/fd/{fd}')]; time.sleep(0.2)",
        "worker died: sent what is no result", True,
    ),
    "forks": ("os.fork(); return 1.0", "forked a child process and left it behind", True),
    "forks and raises": ("os.fork(); raise ValueError('of both')", "ValueError: of both", True),
    "forks and forks": ("[os.fork() for _ in range(3)]; time.sleep(60)", "timeout after 0.5 s (killed)", True),
    "forks and leaves": ("os.fork() and os._exit(1); time.sleep(60)", "worker died: exit code 1", True),
}  # fmt: skip


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A reward for each of these faults, and a service of two workers for them."""
    rewards = {}
    for number, (name, (what, _, _)) in enumerate(FAULTS.items()):
        path = tmp_path_factory.mktemp(f"fault{number}") / "mine.py"
        path.write_text(HEAD + "if solution_str != 'fault': return {'score': float(solution_str)}\n    " + what)
        rewards[name] = Reward(str(path), timeout_s=TIMEOUT_S)
    with Service(load_rewards(rewards), workers=2, memory_mb=512) as service:
        yield service


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_among_64_costs_one_score(faulty, name):
    _, reason, lost = FAULTS[name]
    before = faulty.replaced
    calls = [(name, given("fault" if number == 20 else str(number))) for number in range(64)]
    begun = time.monotonic()
    outcomes = faulty.submit(calls).result(30)
    took = time.monotonic() - begun
    again = faulty.submit([(name, given("7"))] * 2).result(30)
    healed = time.monotonic() - begun
    for number, outcome in enumerate(outcomes):
        if number != 20:
            assert outcome.result == {"score": float(number)}, tell(outcome)
    assert str(tell(outcomes[20])).startswith(reason)
    assert [one.result for one in again] == [{"score": 7.0}] * 2
    assert took < TIMEOUT_S + 1 and healed < TIMEOUT_S + 1
    assert (faulty.replaced > before) == lost


def test_what_a_reward_forked_is_dead_when_its_worker_is(tmp_path):
    """In its group, in a session of its own, and twice removed from it."""
    forks = """
    pids = []
    for way in range(3):
        out, into = os.pipe()
        if os.fork() == 0:
            if way: os.setsid()
            if way == 2 and os.fork(): os._exit(0)
            os.write(into, str(os.getpid()).encode())
            while True: time.sleep(60)
        pids.append(os.read(out, 20).decode())
    open(solution_str, 'w').write(' '.join(pids))
    """
    hangs, leaves = forks + "time.sleep(60)", forks + "return 1.0"
    rewards = [replace(one, timeout_s=3.0) for one in loaded(tmp_path, hangs=HEAD + hangs, leaves=HEAD + leaves)]
    with Service(rewards, workers=2) as service:  # four forks take a while on a busy machine
        calls = [(name, given(str(tmp_path / f"{name}.txt"))) for name in ("hangs", "leaves")]
        reasons = [tell(one) for one in service.submit(calls).result(10)]
        assert reasons == [
            "timeout after 3 s (killed)",
            "forked a child process and left it behind; a reward must wait for its children",
        ]
        pids = [int(pid) for name in ("hangs", "leaves") for pid in (tmp_path / f"{name}.txt").read_text().split()]
        assert len(pids) == 6 and all(ended(pid) for pid in pids)


def test_results_are_those_of_a_call_in_this_process_and_every_call_has_its_own_arguments(tmp_path):
    source = (
        HEAD
        + """extra_info["seen"].append(1)
    return {"score": 0.1 + 0.2 * len(extra_info["seen"]), "tiny": 5e-324, "least": -0.0, "yes": True, "turns": (1, 0.5),
            "all": [ground_truth, solution_str, data_source], "other": {1}, 3: float("nan"), "big": 2 ** 70}"""
    )
    rewards = loaded(tmp_path, mine=source)
    shared = given("\ud800 a", seen=[7], sizes=(1, 2))
    with Service(rewards, workers=2) as service:
        outcomes = service.submit([("mine", shared)] * 40).result(10)
    here = rewards[0].plugin.target(**given("\ud800 a", seen=[7]))
    expected = {**here, "turns": [1, 0.5], "other": "{1}", "big": 2.0**70, "3": here.pop(3)}
    del expected[3]
    assert {repr(sorted(one.result.items())) for one in outcomes} == {repr(sorted(expected.items()))} and shared[
        "extra_info"
    ]["seen"] == [7]
    assert all(one.seconds > 0 for one in outcomes)


def test_random_draws_depend_on_the_call_and_not_on_the_worker(tmp_path):
    rewards = loaded(tmp_path, mine="import numpy\n" + HEAD + "return random.random() + numpy.random.rand()")
    calls = [("mine", given(str(number))) for number in range(50)]
    found = []
    for workers in (1, 3):
        with Service(rewards, workers) as service:
            found.append([tell(one) for one in service.submit(calls).result(20)])
    assert found[0] == found[1] and len(set(found[0])) == 50


def test_coroutines_of_a_worker_wait_together_and_one_that_hangs_is_cancelled(tmp_path):
    body = "await asyncio.sleep(60 if solution_str == '5' else 0.2); return float(solution_str)"
    with Service(loaded(tmp_path, mine=ASYNC + body), workers=1) as service:
        service.submit([("mine", given("0"))]).result(10)
        begun = time.monotonic()
        outcomes = service.submit([("mine", given(str(number))) for number in range(60)]).result(10)
        assert time.monotonic() - begun < 2 * TIMEOUT_S + 0.9, "two chunks at most: 60 times 0.2 s are 12"
        assert [tell(one) for one in outcomes] == [
            "timeout after 0.5 s" if number == 5 else float(number) for number in range(60)
        ]
        assert service.replaced == 0


@pytest.mark.parametrize(
    "fault, reason",
    [
        ("time.sleep(60)", "timeout after 0.5 s (killed)"),
        ("import os; os._exit(4)", "worker died: exit code 4"),
        (f"\n        while True:\n            try: {HOUR}\n            except BaseException: pass", "timeout after 0.5 s"),
    ],
)  # fmt: skip
def test_a_coroutine_that_blocks_or_kills_its_worker_costs_no_other_its_score(tmp_path, fault, reason):
    body = f"if solution_str == '5': {fault}\n    await asyncio.sleep(0.01); return float(solution_str)"
    with Service(loaded(tmp_path, mine=ASYNC + body), workers=2) as service:
        outcomes = service.submit([("mine", given(str(number))) for number in range(20)]).result(20)
        assert [tell(one) for one in outcomes] == [reason if number == 5 else float(number) for number in range(20)]
        assert service.submit([("mine", given("1"))]).result(5)[0].result == 1.0 and service.replaced


def test_each_call_of_a_chunk_has_the_time_of_its_own_reward(tmp_path):
    quick, slow = HEAD + "return 1.0", HEAD + "time.sleep(0.6 if solution_str == 'slow' else 60); return 2.0"
    for name, body in (("quick", quick), ("slow", slow), ("hangs", slow)):
        (tmp_path / f"{name}.py").write_text(body)
    times = {"quick": 0.2, "slow": 5.0, "hangs": 0.5}
    rewards = load_rewards({name: Reward(str(tmp_path / f"{name}.py"), timeout_s=t) for name, t in times.items()})
    calls = [("quick", given())] * 4 + [("slow", given("slow"))] + [("quick", given())] * 4 + [("hangs", given())]
    with Service(rewards, workers=1) as service:
        service.submit(calls[:1]).result(5)
        calls += [("quick", given())] * 70  # enough for chunks of ten
        begun = time.monotonic()
        outcomes = service.submit(calls).result(20)
        assert time.monotonic() - begun < 0.6 + 0.5 + 1
        expected = [*[1.0] * 4, 2.0, *[1.0] * 4, "timeout after 0.5 s (killed)", *[1.0] * 70]
        assert [tell(one) for one in outcomes] == expected and service.replaced == 1


def test_eight_workers_share_slow_calls_evenly(tmp_path):
    with Service(loaded(tmp_path, mine=HEAD + "time.sleep(0.1); return 1.0"), workers=8) as service:
        service.ready()
        begun = time.monotonic()
        assert len(service.submit([("mine", given())] * 64).result(20)) == 64
        assert time.monotonic() - begun < 2 * 8 * 0.1, "one after another they take 6.4 s"


def test_a_reward_that_has_threads_when_it_is_loaded_is_loaded_by_each_worker(tmp_path):
    threads = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    body = "return float(len(os.listdir('/proc/self/task')))"
    with Service(loaded(tmp_path, mine=threads + HEAD + body), workers=2) as service:
        assert [one.result for one in service.submit([("mine", given())] * 4).result(20)] == [2.0] * 4


def test_what_does_not_load_is_told_and_never_waited_for(tmp_path):
    rewards = loaded(tmp_path, mine=HEAD + "return 1.0")
    (tmp_path / "mine.py").write_text(HEAD + "return 2.0")
    with Service(rewards, workers=1) as service:
        with pytest.raises(MedrlError, match=r"rewards.mine: .* has changed since the run was started"):
            service.ready()
        assert "no reward process could be started: rewards.mine" in tell(
            service.submit([("mine", given())]).result(5)[0]
        )


def test_arguments_that_cannot_be_sent_are_the_fault_of_their_own_call(tmp_path):
    with Service(loaded(tmp_path, mine=HEAD + "return 1.0"), workers=1) as service:
        outcomes = service.submit([("mine", given(lock=threading.Lock())), ("mine", given())]).result(5)
    assert "cannot be sent to a reward process: TypeError" in tell(outcomes[0]) and outcomes[1].result == 1.0


def test_a_nursery_that_is_killed_is_replaced(tmp_path):
    with Service(loaded(tmp_path, mine=HEAD + "return float(os.getpid())"), workers=2) as service:
        first = service.submit([("mine", given())]).result(5)[0].result
        service._nursery.process.kill()
        assert ended(int(first)), "its workers go with it"
        assert service.submit([("mine", given())] * 4).result(5)[3].result != first


def test_closing_ends_every_process_and_thread_and_whoever_waits_is_told(tmp_path):
    threads, open_files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    before = processes()
    service = Service(loaded(tmp_path, mine=HEAD + "time.sleep(60)", timeout_s=100), workers=2)
    waiting = service.submit([("mine", given())] * 9)
    until = time.monotonic() + 5
    while len(processes() - before) < 3:
        assert time.monotonic() < until
    begun = time.monotonic()
    service.close()
    assert {tell(one) for one in waiting.result(1)} <= {
        "the scoring service was closed",
        "worker died: the process that watched it is gone",
        "worker died: killed by signal 9 (SIGKILL)",
    }
    assert time.monotonic() - begun < 2 and processes() == before
    assert threading.active_count() == threads and len(list(Path("/proc/self/fd").iterdir())) == open_files
    with pytest.raises(MedrlError, match="closed"):
        service.submit([("mine", given())])


def test_a_killed_driver_leaves_nothing_behind_and_its_output_is_its_own(tmp_path):
    (tmp_path / "mine.py").write_text(HEAD + "print('noise'); os.fork(); print(os.getpid()); time.sleep(60)")
    program = """
import os, sys, time, types
from medrl.plugin import load_plugin
from medrl.scoring.workers.service import Service
plugin = load_plugin(sys.argv[1], "compute_score")
reward = types.SimpleNamespace(name="mine", plugin=plugin, of_group=False, timeout_s=60, kwargs={})
service = Service([reward], workers=2)
if os.fork() == 0: os.close(1); time.sleep(6); os._exit(0)  # holds the service's sockets open beyond the driver's end
service.submit([("mine", {"data_source": "", "solution_str": "", "ground_truth": ""})] * 2)
print(service._nursery.process.pid, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "mine.py")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    nursery = int(process.stdout.readline())
    there, until = set(), time.monotonic() + 10
    while len(there) < 5:
        assert time.monotonic() < until, "the nursery, two workers, two forks"
        there = {nursery, *(pid for pid in numbers("/proc") if nursery in _above(pid))}
    process.kill()
    process.wait()
    assert all(ended(pid, 1.9) for pid in there)
    assert not process.stdout.read(), "what a reward prints goes to the standard error"
    process.stdout.close()


def test_reward_processes_start_without_torch():
    names = "import sys, medrl.scoring.workers.nursery, medrl.scoring.workers.worker; print(*sys.modules)"
    loaded_modules = subprocess.run([sys.executable, "-c", names], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "transformers", "numpy", "omegaconf"} & set(loaded_modules.split())


def test_a_recipe_chooses_how_many_or_none(tmp_path):
    rewards = loaded(tmp_path, mine=HEAD + "return 1.0")
    for workers, share, expected in ((0, 1, 0), (3, 1, 3), (3, 8, 1), (8, 4, 2), (None, 1, default_workers())):
        with open_service(Scoring(workers=workers), rewards, share) as service:
            assert (service.workers if service else 0) == expected
    assert 1 <= default_workers() <= 8
