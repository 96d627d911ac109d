"""Start programs on the host once, find them again by their process id file, stop them."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from layout import LOGS, STATE


class ClusterError(Exception):
    """A part of the cluster did not start; the message names it and its log."""


def say(text: str) -> None:
    """Print what happens now."""
    print(text, flush=True)


def run(
    *command: str | Path, text: str | None = None, cwd: Path | None = None, quiet: bool = False
) -> str:
    """Run a command and return its output; raise ClusterError with what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        input=text,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and not quiet:
        line = " ".join(str(part) for part in command)
        raise ClusterError(f"{line}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def start(
    name: str,
    command: Sequence[str | Path],
    environment: dict[str, str] | None = None,
    user: str | None = None,
) -> None:
    """Start a program that outlives this one, unless it is running; its output goes to LOGS."""
    if alive(name):
        return
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            user=user,
            group=user,
            cwd=STATE,
        )
    _pid_file(name).write_text(f"{process.pid} {_started(process.pid)}")


def alive(name: str) -> int | None:
    """Return the process id of a started program, or None if it is not running."""
    file = _pid_file(name)
    if not file.exists():
        return None
    pid, started = file.read_text().split()
    # The start time distinguishes the program from a later one with the same id.
    return int(pid) if _started(int(pid)) == started else None


def stop(name: str, seconds: float = 20) -> None:
    """Stop a program: SIGTERM, and after `seconds` SIGKILL."""
    pid = alive(name)
    if pid:
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + seconds
        while alive(name) and time.monotonic() < until:
            time.sleep(0.1)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _pid_file(name).unlink(missing_ok=True)


def running() -> list[str]:
    """Return the names of the started programs, newest first."""
    files = sorted(STATE.glob("*.pid"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    return [file.stem for file in files]


def wait(what: str, ready: Callable[[], object], seconds: float = 120, log: str = "") -> None:
    """Wait until `ready` is true and raises nothing; raise ClusterError after `seconds`."""
    until = time.monotonic() + seconds
    problem: object = "not ready"
    while time.monotonic() < until:
        if log and not alive(log):
            problem = "it stopped"
            break
        try:
            if ready():
                return
        except (OSError, ClusterError) as error:
            problem = error
        time.sleep(0.3)
    where = f"; see {LOGS / log}.log" if log else ""
    raise ClusterError(f"{what} did not start ({problem}){where}")


def _pid_file(name: str) -> Path:
    return STATE / f"{name}.pid"


def _started(pid: int) -> str:
    """Return when a process started, in ticks since boot; "" if there is none or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
