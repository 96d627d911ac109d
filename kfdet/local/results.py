"""What a finished run leaves: its model, report, metrics and record."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfdet.dataset.formats.archive import read_members
from kfdet.detection.saved_model import read_model_json
from kfdet.errors import InputError
from kfdet.evaluation.metrics_file import read_metrics
from kfdet.files import read_document
from kfdet.local.folder import ARTIFACTS, METRICS, RECORD, REWRITE, SWEEP
from kfdet.local.record import read_record
from kfdet.records.tables import EXAMPLES_FILE
from kfdet.storage.shards import open_records
from kfdet.training.history import HISTORY_FILE

_MOST_BYTES = 64 << 20
"""Of history.json, which has a few numbers for every ten steps."""


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """A finished run.

    >>> run = kfdet.Run.load("run")
    >>> run.verdict, run.model.name, run.metrics["split"]["strategy"]
    (False, 'model', 'time-block')

    Args:
        folder: The run's folder.
        metrics: What metrics.json holds: AP50, AP, `per_class`, `verdict` and more.
        record: What run.json holds: dataset, parameters, versions, the time of each stage.
    """

    folder: Path
    metrics: dict[str, Any]
    record: dict[str, Any]

    def __repr__(self) -> str:
        ap50 = self.metrics["AP50"]
        figure = "not measured" if ap50 is None else f"{ap50:.3f}"
        verdict = "good enough to serve" if self.verdict else "not good enough to serve"
        return f"<Run {self.folder}: AP50 {figure}, {verdict}>"

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """Read the run in `folder`.

        Raises:
            InputError: There is no finished run in `folder`, or its files are damaged.
        """
        folder = Path(folder)
        record = read_record(folder)
        if record is None:
            raise InputError(
                "is not the folder of a finished run.",
                file=folder,
                hint="Name the folder that was given to `kfdet run -o`.",
            )
        return cls(folder, read_metrics(folder / METRICS, hint=REWRITE), record)

    @property
    def model(self) -> Path:
        """The model's folder, in TensorFlow Serving's layout."""
        return self.folder / "model"

    @property
    def report(self) -> Path:
        """The report, one HTML file."""
        return self.folder / "report.html"

    @property
    def sweep(self) -> dict[str, Any] | None:
        """What sweep.json holds: the `trials`, what is `chosen`, and the `reason`."""
        path = self.folder / SWEEP
        return read_document(path, _Sweep, hint=REWRITE) if path.is_file() else None

    @property
    def verdict(self) -> bool:
        """Whether the detector is good enough to serve."""
        return bool(self.metrics["verdict"])

    @property
    def computed(self) -> list[str]:
        """The stages that were run by the command that wrote the record; the others were cached."""
        return [
            stage["stage"] for stage in self.record["stages"] if stage["cached"] < stage["tasks"]
        ]


@dataclass(frozen=True, slots=True)
class _Trial:
    settings: dict[str, Any]
    AP50: float
    AP: float
    ms_per_image: float
    megabytes: float
    minutes: float
    difference: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class _Sweep:
    trials: list[_Trial]
    chosen: dict[str, Any]
    reason: str = ""

    def __post_init__(self) -> None:
        if any(trial.settings.keys() != self.chosen.keys() for trial in self.trials):
            raise ValueError("the settings of a trial are not those that were chosen from")


def find_runs(folder: Path) -> list[Run]:
    """The finished runs in a folder or directly below it, the newest first.

    Raises:
        InputError: There is no such folder.
    """
    if not folder.is_dir():
        raise InputError("there is no such folder.", file=folder)
    records = [*folder.glob(RECORD), *folder.glob(f"*/{RECORD}")]
    records.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [Run.load(path.parent) for path in records]


def run_of(path: Path) -> Path | None:
    """The run's folder that `path` is, or whose model it is; None where it is neither."""
    folders = (path, path.resolve().parent if path.name == "model" else path)
    return next((folder for folder in folders if (folder / RECORD).is_file()), None)


def own_records(run: Path) -> Path:
    """The folder of the records that the model of a run was trained on.

    A later run in the folder that did not come to its end has left others.

    Raises:
        InputError: They were deleted.
    """
    wanted = read_model_json(run / "model").get("records")
    found = [path.parent for path in (run / ARTIFACTS).rglob(f"records/{EXAMPLES_FILE}")]
    for folder in sorted(found, key=lambda folder: folder.stat().st_mtime, reverse=True):
        if not wanted or _digest(folder) == wanted:
            return folder
    raise InputError(
        f"the run's records are no longer in {ARTIFACTS}/.",
        file=run,
        hint="Name the dataset: kfdet evaluate RUN DATASET.",
    )


def _digest(records: Path) -> str:
    """Of records that can be read, else ""."""
    with suppress(InputError), open_records(records) as opened:
        return opened.digest()
    return ""


def own_history(run: Path) -> bytes | None:
    """The history.json of the training of a run's model; None where its model.zip was deleted.

    Raises:
        InputError: The zip is damaged.
    """
    bundle = run / "model.zip"
    if not bundle.is_file():
        return None
    name = f"checkpoint/{HISTORY_FILE}"
    return read_members(bundle, [name], _MOST_BYTES).get(name)
