"""Whole runs against their limits: the sample, `pets`, the same again, and after a kill.

    python -m benchmarks.runs [--data FOLDER]

The sample always runs; the others need `pets` in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.table import Row, print_table

KFDET = (sys.executable, "-m", "kfdet")


def measure(data: Path | None = None) -> list[Row]:
    """Return one row per limit."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        rows = _rows(
            "demo", [*KFDET, "demo", "-o", str(root / "demo")], root / "demo/run", 240, 0.8
        )
        if data is not None and (data / "pets").is_dir():
            rows += _pets(str(data / "pets"), root)
        return rows


def _pets(dataset: str, root: Path) -> list[Row]:
    command = [*KFDET, "run", dataset, "-o", str(root / "pets")]
    rows = _rows("run pets", command, root / "pets", 360, 0.85)
    peak = json.loads((root / "pets/run.json").read_text())["peak_memory_mb"] / 1e3
    rows.append(Row("run pets: peak memory", peak, 4.0, "GB", 4.0 / peak, 1.0))
    again = _seconds(command)
    rows.append(Row("run pets again, nothing changed", again, 20.0, "s", 20.0 / again, 1.0))
    killed = [*KFDET, "run", dataset, "-o", str(root / "killed")]
    _kill_in_training(killed, root / "killed")
    _seconds(killed)
    score, reference = (_ap50(root / name) for name in ("killed", "pets"))
    rows.append(Row("run pets after kill -9: AP50", score, reference, "", score / reference, 0.97))
    return rows


def _rows(name: str, command: Sequence[str], run: Path, limit: float, ap50: float) -> list[Row]:
    seconds = _seconds(command)
    score = _ap50(run)
    return [
        Row(name, seconds, limit, "s", limit / seconds, 1.0),
        Row(f"{name}: AP50", score, 0.0, "", score, ap50),
    ]


def _seconds(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _ap50(run: Path) -> float:
    return float(json.loads((run / "metrics.json").read_text())["AP50"])


def _kill_in_training(command: Sequence[str], run: Path) -> None:
    """Start `command` and kill it with its stages once the first checkpoint exists."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    while not list(run.glob("checkpoints/*/checkpoint")):
        if process.poll() is not None:
            raise RuntimeError("the run ended before its first checkpoint")
        time.sleep(1)
    time.sleep(5)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None, help="folder that holds pets/")
    print_table(measure(parser.parse_args().data))


if __name__ == "__main__":
    main()
