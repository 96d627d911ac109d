"""Every benchmark in one table: python -m benchmarks [--data FOLDER]."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import (
    detect,
    endpoint,
    frame_extraction,
    hostile_clients,
    interpolation,
    runs,
    tfrecord,
    training,
    truth,
    upload,
)
from benchmarks.table import print_table


def main() -> None:
    """Run the benchmarks one after the other and print all rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=None, help="folder that holds pets/")
    data = parser.parse_args().data
    rows = runs.measure(data)
    rows += frame_extraction.measure(data)
    rows += interpolation.measure()
    rows += truth.measure_truth(data)
    rows += tfrecord.measure(data)
    rows += training.measure(data)
    rows += endpoint.measure()
    rows += hostile_clients.measure()
    rows += detect.measure(data)
    rows += upload.measure()
    print_table(rows)


if __name__ == "__main__":
    main()
