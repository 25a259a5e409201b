"""A thread beside the driver: says what a long wait is for, ends a wait that cannot succeed, notices dead workers.

verl and Ray wait without a word for resources that never come, and a collective whose partner has died may hang for its
whole timeout. The thread looks at Ray's own tables every few seconds and interrupts the driver with the true cause.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import state as ray_state
from ray.exceptions import RayError

from medrl.errors import MedrlError

LOOK_EVERY_S, TELL_EVERY_S, ANSWER_WITHIN_S = 2.0, 60.0, 30.0
GO_ON = "What each process said is in the run's logs/. The run resumes from its last checkpoint with the same command."
ROLES = {"WorkerDict": "FSDP worker", "vLLMHttpServer": "vLLM server", "EpisodeWorker": "episode worker"}


class Watch:
    """Use as `with watch(...) as w`, and `w.waiting_for("...")` before every step that may take long."""

    def __init__(self, tell: Callable[[str], None], start_timeout_s: float) -> None:
        self.tell, self.start_timeout_s = tell, start_timeout_s
        self.servers: list[Any] = []  # vLLM server actors, once they are there
        self.cause: str | None = None
        self._what, self._since, self._told, self._starting = "Ray", time.monotonic(), 0.0, True
        self._ended = threading.Event()

    def waiting_for(self, what: str, starting: bool = True) -> None:
        """Name the wait that begins now; one of the start-up may not last longer than engine.start_timeout_s."""
        self._what, self._since, self._told, self._starting = what, time.monotonic(), time.monotonic(), starting

    def look(self) -> str | None:
        """The reason why the run cannot go on, or None."""
        mine = ray.get_runtime_context().get_job_id()  # a shared cluster has the actors of others too
        table = [one for one in ray_state.actors().values() if one["JobID"] == mine]
        for one in table:
            if one["State"] == "DEAD" and (death := _death(one)):
                return f"the {_role(one['ActorClassName'])} with pid {one['Pid']} on {one['Address']['IPAddress']} died: {death}"
        if fault := self._servers_fault():
            return fault
        waited = time.monotonic() - self._since
        pending = [one for one in table if one["State"] in ("PENDING_CREATION", "DEPENDENCIES_UNREADY")]
        if time.monotonic() - self._told > TELL_EVERY_S:
            self._told = time.monotonic()
            self.tell(f"waiting for {self._what} since {waited:.0f} s{_names(pending)}")
        if self._starting and waited > self.start_timeout_s:
            return (
                f"waited {waited:.0f} s for {self._what}{_names(pending)}; engine.start_timeout_s={self.start_timeout_s:.0f}.\n"
                f"{resources()}\nFree the machine, ask for less, or raise engine.start_timeout_s."
            )
        return None

    def run(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            try:
                self.cause = self.look()
            except Exception as error:  # Ray itself has gone: that is the cause
                self.cause = f"Ray does not answer any more ({type(error).__name__}: {error})."
            if self.cause and not self._ended.is_set():
                signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)  # type: ignore[arg-type]
                return

    def _servers_fault(self) -> str | None:
        """vLLM's engine is a process of its own below the server's: the server lives on when it dies."""
        if not self.servers:
            return None
        answers = [server.__ray_call__.remote(_engine_fault) for server in self.servers]
        ready, _ = ray.wait(answers, num_returns=len(answers), timeout=ANSWER_WITHIN_S)
        for answer in ready:
            if fault := ray.get(answer):
                return f"vLLM's engine process died: {fault}"
        return None


@contextmanager
def watch(tell: Callable[[str], None], start_timeout_s: float) -> Iterator[Watch]:
    """Watch the cluster while the block runs; what goes wrong there is raised here, in the main thread, as MedrlError."""
    watching = Watch(tell, start_timeout_s)

    def interrupt(number: int, frame: object) -> None:
        raise MedrlError(f"{watching.cause}\n{GO_ON}")

    before = signal.signal(signal.SIGUSR1, interrupt)
    thread = threading.Thread(target=watching.run, name="medrl-watch", daemon=True)
    thread.start()
    try:
        yield watching
    except RayError as error:
        raise explained(error) from error
    finally:
        watching._ended.set()
        thread.join(LOOK_EVERY_S + 1)
        signal.signal(signal.SIGUSR1, before)


def resources() -> str:
    """What the cluster has and what is free, one line per node."""
    lines = ["The cluster has:"]
    free = ray_state.available_resources_per_node()
    for node in ray.nodes():
        if node["Alive"]:
            have, left = node["Resources"], free.get(node["NodeID"], {})
            parts = [f"{name} {left.get(name, 0):g} of {have.get(name, 0):g} free" for name in ("CPU", "GPU")]
            lines.append(f"  {node['NodeManagerHostname']} ({node['NodeManagerAddress']}): {', '.join(parts)}")
    return "\n".join(lines)


def explained(error: RayError) -> MedrlError:
    """An exception of Ray's in one sentence a user can act on: whose process died, where, of what."""
    text = str(error)
    found = {key: _after(text, key) for key in ("class_name: ", "pid: ", "ip: ")}
    if found["class_name: "]:
        detail = _after(text, "Worker exit detail: ").split(" Some common causes")[0] or _after(text, "because ")
        role = _role(found["class_name: "])
        what = f"the {role} with pid {found['pid: ']} on {found['ip: ']} died: {detail}"
    else:
        cause = getattr(error, "cause", None) or error
        what = " ".join(f"{type(cause).__name__}: {cause}".split())[:800]
        if "EngineDead" in text:
            what = f"vLLM's engine process died: {what}"
    return MedrlError(f"{what}\n{GO_ON}")


def _after(text: str, mark: str) -> str:
    """The rest of the line behind `mark`, or nothing."""
    return text.partition(mark)[2].partition("\n")[0].strip()


def _role(class_name: str) -> str:
    name = class_name.split(".")[-1].removeprefix("ActorClass(").rstrip(")")
    return ROLES.get(name, name)


def _engine_fault(server: Any) -> str | None:
    engine = getattr(server, "engine", None)
    return str(engine.dead_error) if engine is not None and engine.errored else None


def _death(actor: dict[str, Any]) -> str | None:
    """Of what a dead actor died; None when it was ended on purpose, by us or because nobody holds it any more."""
    cause = actor["DeathCause"]
    kind = cause.WhichOneof("context")
    if kind == "actor_died_error_context":
        context = cause.actor_died_error_context
        ended = (
            context.Reason.Name(context.reason) in ("RAY_KILL", "OUT_OF_SCOPE", "REF_DELETED")
            or "INTENDED" in context.error_message
        )
        return None if ended else " ".join(context.error_message.split()).split(" Some common causes")[0]
    if kind == "creation_task_failure_context":  # what its __init__ raised, without the traceback
        return cause.creation_task_failure_context.formatted_exception_string.strip().splitlines()[-1]
    return " ".join(str(cause).split())[:600]


def _names(pending: list[dict[str, Any]]) -> str:
    names = sorted({_role(one["ActorClassName"]) for one in pending})
    return f" (not placed yet: {', '.join(names)})" if names else ""
