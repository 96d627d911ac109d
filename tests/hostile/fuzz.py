"""`make fuzz`: damaged annotations, videos and images by the thousand, and what became of them.

Counts and findings are kept in FOLDER, and another call continues there. A turn that takes too much
processor time or ends its process is a finding, too. Exit status 1 if there is any.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import fuzzing

_SECONDS, _BYTES = 10, 1 << 30
_KILL_SECONDS = 60
"""Processor time after which a turn's process is ended."""
_SILENCE_SECONDS = 1800
"""Time after which a process that does nothing is ended; the machine may be busy with others."""
_TURNS_PER_PROCESS = 500
_KINDS = ("traceback", "over 10 s", "over 1 GB", "written outside", "silent loss")

Turn = Callable[[int, Path], None]


def main() -> int:
    """Take the turns that are left; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=20_000, help="damaged annotation sets")
    parser.add_argument("--media", type=int, default=2_000, help="damaged videos and images")
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"))
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    material = folder / "material"
    shutil.rmtree(material, ignore_errors=True)
    sets = fuzzing.make_annotations(material / "sets")
    videos = fuzzing.make_videos(material / "videos")
    images = fuzzing.make_images(material / "images")

    def annotations(number: int, work: Path) -> None:
        fuzzing.annotation_turn(sets[number % len(sets)], number, work)

    def media(number: int, work: Path) -> None:
        if number % 2:
            fuzzing.video_turn(videos[number // 2 % len(videos)], number, work)
        else:
            fuzzing.image_turn(images[number // 2 % len(images)], number, work)

    state_file = folder / "state.json"
    state: dict[str, Any] = (
        json.loads(state_file.read_text())
        if state_file.exists()
        else {"annotations": 0, "media": 0, "findings": []}
    )
    turns: dict[str, tuple[Turn, int]] = {
        "annotations": (annotations, arguments.sets),
        "media": (media, arguments.media),
    }
    for what, (turn, wanted) in turns.items():
        for number, kind, text in _take(turn, state[what], wanted, folder / "work"):
            state[what] = number + 1
            if kind:
                state["findings"].append({"of": what, "turn": number, "kind": kind, "text": text})
                print(f"{what} {number}: {kind}\n{text}", flush=True)
            if kind or number % 100 == 99 or number + 1 == wanted:
                state_file.write_text(json.dumps(state, indent=1))
    return _report(state)


def _report(state: dict[str, Any]) -> int:
    found = Counter((each["of"], each["kind"]) for each in state["findings"])
    print("| what | turns | " + " | ".join(_KINDS) + " |")
    print("|---|---|" + "---|" * len(_KINDS))
    for what in ("annotations", "media"):
        counts = " | ".join(str(found[what, kind]) for kind in _KINDS)
        print(f"| {what} | {state[what]:,} | {counts} |")
    return int(bool(found))


def _take(turn: Turn, start: int, end: int, work: Path) -> Iterator[tuple[int, str, str]]:
    """The number of each turn with the kind of what was found, "" where nothing was."""
    context = multiprocessing.get_context("fork")
    while start < end:
        receiver, sender = context.Pipe(duplex=False)
        last = min(start + _TURNS_PER_PROCESS, end)
        worker = context.Process(target=_work, args=(turn, start, last, work, sender))
        worker.start()
        sender.close()
        try:
            while start < last:
                if not receiver.poll(_SILENCE_SECONDS):
                    worker.kill()
                    yield start, "over 10 s", "it waits for something"
                    start += 1
                    break
                yield receiver.recv()
                start += 1
        except EOFError:
            worker.join()
            slow = worker.exitcode == -signal.SIGPROF
            yield start, "over 10 s" if slow else "traceback", f"ended with {worker.exitcode}"
            start += 1
        worker.join()
        receiver.close()


def _work(turn: Turn, start: int, end: int, work: Path, sender: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # warnings of libraries
    os.dup2(sys.stderr.fileno(), 2)
    home = work / "elsewhere"
    for number in range(start, end):
        shutil.rmtree(work, ignore_errors=True)
        home.mkdir(parents=True)
        os.chdir(home)
        before, began = _reset_peak(), time.process_time()
        signal.setitimer(signal.ITIMER_PROF, _KILL_SECONDS)
        kind = text = ""
        try:
            turn(number, work / "turn")
        except fuzzing.FindingError as finding:
            kind = str(finding).partition(":")[0]
            kind, text = kind if kind in _KINDS else "silent loss", str(finding)
        except BaseException:
            kind, text = "traceback", traceback.format_exc(limit=-12)
        signal.setitimer(signal.ITIMER_PROF, 0)
        seconds, grown = time.process_time() - began, _memory("VmHWM") - before
        strange = [p.name for p in (*home.iterdir(), *work.iterdir())]
        if not kind and set(strange) - {"elsewhere", "turn"}:
            kind, text = "written outside", str(strange)
        elif not kind and seconds > _SECONDS:
            kind, text = "over 10 s", f"{seconds:.1f} s"
        elif not kind and grown > _BYTES:
            kind, text = "over 1 GB", f"{grown >> 20} MiB"
        sender.send((number, kind, text))


def _reset_peak() -> int:
    """Begin to measure the peak of this process's memory anew; returns what it takes now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{name}:")[2].split()[0]) << 10


if __name__ == "__main__":
    sys.exit(main())
