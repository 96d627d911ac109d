from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest
from support.patience import SECONDS

from kfdet.signals import exit_on_sigterm

PROGRAM = """
import os, signal, sys, time
from kfdet.signals import exit_on_sigterm

with exit_on_sigterm():
    try:
        print("works", flush=True)
        time.sleep(60)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)  # once more
        time.sleep(0.1)
        print("tidied up", flush=True)
"""


def test_a_process_that_is_stopped_tidies_up() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"works\n"
        process.terminate()
        said, _ = process.communicate(timeout=SECONDS)
    assert said == b"tidied up\n"
    assert process.returncode == 143


def test_the_previous_handler_is_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end, exit_on_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_nothing_changes() -> None:
    before, found = signal.getsignal(signal.SIGTERM), []

    def look() -> None:
        with exit_on_sigterm():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]
