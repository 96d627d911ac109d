"""Programs on the host: started once, found again by their process id file, stopped."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from layout import LOGS, STATE


class RigError(Exception):
    """A part of the cluster did not come up; the message names it and its log."""


def say(text: str) -> None:
    """Tell the user what happens now."""
    print(text, flush=True)


def run(
    *command: str | Path, text: str | None = None, cwd: Path | None = None, quiet: bool = False
) -> str:
    """Run a command to its end and return its output; RigError with its error output."""
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
        raise RigError(f"{line}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def start(
    name: str,
    command: Sequence[str | Path],
    environment: dict[str, str] | None = None,
    user: str | None = None,
) -> None:
    """Start a program that outlives this one, unless it runs already; its output goes to LOGS."""
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
    """The process id of a started program, None when it does not run."""
    file = _pid_file(name)
    if not file.exists():
        return None
    pid, started = file.read_text().split()
    # The start time tells the program from another one that got its number.
    return int(pid) if _started(int(pid)) == started else None


def stop(name: str, seconds: float = 20) -> None:
    """End a program: politely, after `seconds` for good."""
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
    """The names of the programs started, newest first."""
    files = sorted(STATE.glob("*.pid"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    return [file.stem for file in files]


def wait(what: str, ready: Callable[[], object], seconds: float = 120, log: str = "") -> None:
    """Wait until `ready` is true and raises nothing; RigError after `seconds`."""
    until = time.monotonic() + seconds
    problem: object = "not ready"
    while time.monotonic() < until:
        if log and not alive(log):
            problem = "it ended"
            break
        try:
            if ready():
                return
        except (OSError, RigError) as error:
            problem = error
        time.sleep(0.3)
    where = f"; see {LOGS / log}.log" if log else ""
    raise RigError(f"{what} did not come up ({problem}){where}")


def _pid_file(name: str) -> Path:
    return STATE / f"{name}.pid"


def _started(pid: int) -> str:
    """When a process started, in ticks since boot; empty when there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
