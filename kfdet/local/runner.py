"""`kfdet run` and `kfdet sweep`: a pipeline on this machine, in one folder.

The pipeline runs in a process of its own (kfdet.local.process), which runs each stage in a
process of its own. Their events come back through a named pipe and their output goes to run.log,
both read by kfdet.local.watcher, so that a full disk cannot swallow the message that reports it.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import resource
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kfdet.dataset.several import split_datasets
from kfdet.deployment.starting import with_located_start
from kfdet.detection.saved_model import read_model_json
from kfdet.errors import KfdetError
from kfdet.evaluation.metrics_file import read_metrics
from kfdet.files import atomic_file, explain_os_error, unexplained_os_error
from kfdet.local.comparison import check_comparison
from kfdet.local.folder import (
    ARTIFACTS,
    CACHE,
    CHECKPOINTS,
    LOG,
    METRICS,
    RECORD,
    REWRITE,
    TENSORBOARD,
    check_places,
    locked,
    prune,
    prune_checkpoints,
    publish,
)
from kfdet.local.record import (
    DatasetRecord,
    StageRecord,
    check_same_dataset,
    code_version,
    hashes,
    read_record,
    versions,
)
from kfdet.local.results import Run
from kfdet.local.watcher import Watcher
from kfdet.parameters import Parameters, SweepSettings, is_local_start
from kfdet.storage.address import is_bucket_uri
from kfdet.training.grid import trainings
from kfdet.training.starting_point import check_start


def run(
    dataset: str | Path,
    folder: str | Path,
    parameters: Parameters,
    on_event: Callable[[dict[str, Any]], None] = lambda event: None,
    *,
    replace: bool = False,
    sweep: SweepSettings | None = None,
) -> Run:
    """Run the whole pipeline on `dataset`; the outputs appear in `folder` under fixed names.

    Stages whose inputs have not changed since the last run in `folder` are not run again; of a
    sweep, the trainings that have finished are not.

    Args:
        dataset: Folder with videos or images and their annotations, or its bucket URI; or several
            (see `kfdet.dataset.several`).
        folder: The run's folder; created if it does not exist.
        parameters: Pipeline parameters.
        on_event: Called with every event of the run (see kfdet.events) as it arrives.
        replace: Whether a run of another dataset in `folder` may be replaced.
        sweep: Several settings to train, one after another; the run is that of the best one.

    Returns:
        The finished run.

    Raises:
        InputError: Bad input, or a folder that cannot be written; the message names the remedy.
        KfdetError: A stage failed; a note names the log.
        KeyboardInterrupt: Every process of the run has been ended; the same call continues.
    """
    started = time.monotonic()
    trainings(parameters, sweep)  # refuses a bad grid
    folder = Path(folder)
    source = str(dataset)
    read = [Path(place) for place in split_datasets(source) if not is_bucket_uri(place)]
    for place in (*read, None):
        check_places(place, folder)
    folder = folder.resolve()
    try:
        check_comparison(source, parameters)
        with locked(folder) as lock:
            described = DatasetRecord.of(source)
            parameters = with_located_start(parameters)
            for each in trainings(parameters, sweep):
                check_start(each)
            before = read_record(folder)
            if before and not replace:
                check_same_dataset(described, before, folder)
            return _run(described, folder, parameters, sweep, on_event, before, lock, started)
    except OSError as error:
        path = Path(error.filename or folder)
        if any(path.resolve().is_relative_to(place.resolve()) for place in read):
            raise unexplained_os_error(error) or error from error
        raise explain_os_error(error, path) from error


def _run(
    dataset: DatasetRecord,
    folder: Path,
    parameters: Parameters,
    sweep: SweepSettings | None,
    on_event: Callable[[dict[str, Any]], None],
    before: dict[str, Any] | None,
    lock: int,
    started: float,
) -> Run:
    cache = folder / ARTIFACTS / CACHE / code_version()
    prune(folder / ARTIFACTS)
    for name in (CHECKPOINTS, TENSORBOARD):
        (folder / name).mkdir(exist_ok=True)
    request = _request(dataset, folder, cache, parameters, sweep)
    with open(folder / LOG, "ab") as log:
        log.write(f"=== {_now()} {dataset.path}\n".encode())
        watcher = Watcher(folder, log, on_event)
        try:
            outputs = watcher.watch(request, lock)
        except KfdetError as error:
            error.add_note(f"The output of the stages is in {folder / LOG}")
            raise
    names = publish(folder, outputs)
    prune(folder / ARTIFACTS, cache, watcher.keys)
    trainings = watcher.stages["training"]
    if trainings.cached < trainings.tasks:
        prune_checkpoints(folder, trainings.tasks)
    if sweep:
        parameters = dataclasses.replace(parameters, **outputs["chosen"])
    record = {
        "dataset": asdict(dataset),
        "parameters": parameters.arguments(),
        "sweep": asdict(sweep) if sweep else None,
        "versions": {
            **versions(),
            "python": platform.python_version(),
            "platform": platform.platform(),
        },
        "stages": [asdict(stage) for stage in watcher.stages.values()],
        "start": read_model_json(Path(outputs["saved_model"])).get("start", {}),
        "verdict": outputs["verdict"],
        "outputs": hashes(folder, names),
        **_costs(list(watcher.stages.values()), started, before),
    }
    with atomic_file(folder / RECORD) as temporary:
        temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    return Run(folder, read_metrics(folder / METRICS, hint=REWRITE), record)


def _request(
    dataset: DatasetRecord,
    folder: Path,
    cache: Path,
    parameters: Parameters,
    sweep: SweepSettings | None,
) -> dict[str, Any]:
    """What kfdet.local.process reads: where to work, and the pipeline's arguments."""
    arguments = parameters.arguments()
    if is_local_start(parameters.pretrained):
        arguments["pretrained"] = str(Path(parameters.pretrained).expanduser().absolute())
    if arguments["against"] and "://" not in arguments["against"]:
        arguments["against"] = str(Path(arguments["against"]).absolute())
    return {
        "command": _command(dataset, folder, parameters, sweep),
        "pipeline": "sweep" if sweep else "training",
        "folder": str(folder),
        "pipeline_root": str(folder / ARTIFACTS),
        "cache_root": str(cache),
        "arguments": {
            "dataset": dataset.path,
            "checkpoint_root": str(folder / CHECKPOINTS),
            "tensorboard_root": str(folder / TENSORBOARD),
            **arguments,
            **(asdict(sweep) if sweep else {}),
        },
    }


def _command(
    dataset: DatasetRecord, folder: Path, parameters: Parameters, sweep: SweepSettings | None
) -> str:
    """The command line of a run; without --overrides, which names a file."""
    places = split_datasets(dataset.path)
    words = ["kfdet", "sweep" if sweep else "run", *places, "-o", str(folder)]
    if sweep:
        for axis in shlex.split(sweep.grid):
            words += ["--grid", axis]
        words += ["--random", str(sweep.random)] if sweep.random else []
    for each in fields(parameters):
        value = getattr(parameters, each.name)
        name = each.name.replace("_", "-")
        if value == each.default or each.name == "overrides":
            continue
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            words += [f"--{name}", str(value)]
    return shlex.join(words)


def _costs(
    stages: list[StageRecord], started: float, before: dict[str, Any] | None
) -> dict[str, Any]:
    """Time and memory of a run; those of the previous run where this one computed nothing."""
    names = ("finished", "seconds", "peak_memory_mb")
    if before and all(stage.cached == stage.tasks for stage in stages):
        return {name: before[name] for name in names if name in before}
    usage = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # the largest process; in kilobytes, on macOS in bytes
    memory = round(usage / (1 << 20 if sys.platform == "darwin" else 1 << 10))
    costs = (_now(), round(time.monotonic() - started, 3), memory)
    return dict(zip(names, costs, strict=True))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
