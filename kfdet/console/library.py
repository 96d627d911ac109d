"""The functions of the Python API; the long ones show their progress."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from kfdet.console.display import show_events
from kfdet.errors import InputError, explain_missing_packages
from kfdet.events import listening, with_aliases
from kfdet.local.results import Run
from kfdet.parameters import DEFAULTS, Interpolation, Parameters, SweepSettings, join_list

if TYPE_CHECKING:
    import pyarrow as pa

    from kfdet.dataset.conversion import Conversion
    from kfdet.dataset.loading import Dataset
    from kfdet.detection import Detector
    from kfdet.planning.check import Check


def run(
    dataset: str | Path | Sequence[str | Path],
    folder: str | Path,
    parameters: Parameters = DEFAULTS,
    *,
    replace_run: bool = False,
    show_progress: bool = True,
    **changes: Any,
) -> Run:
    """Train, export and evaluate a detector on this machine: what `kfdet run` does.

    Stages whose inputs have not changed since the last run in `folder` are not run again; an
    interrupted training continues.

    >>> run = kfdet.run("videos", "run", steps=2)
    >>> run.metrics["AP50"] >= 0
    True
    >>> run.report.name
    'report.html'

    Args:
        dataset: Folder with videos or images and their annotations, or its bucket URI; several are
            merged by label.
        folder: The run's folder; created if it does not exist.
        parameters: Pipeline parameters.
        replace_run: Whether a run of another dataset in `folder` may be replaced.
        show_progress: Whether progress and warnings are shown while the run goes on.
        changes: Single parameters in place of those in `parameters`, by name.

    Raises:
        InputError: Bad input; the message names the place and the remedy.
        KfdetError: A stage failed; a note names the log.
    """
    from kfdet.local.runner import run as run_pipeline

    parameters = _changed(parameters, changes)
    with _progress(show_progress) as on_event:
        return run_pipeline(_one_text(dataset), folder, parameters, on_event, replace=replace_run)


def sweep(
    dataset: str | Path | Sequence[str | Path],
    folder: str | Path,
    grid: Mapping[str, str | Sequence[Any]],
    parameters: Parameters = DEFAULTS,
    *,
    random: int = 0,
    replace_run: bool = False,
    show_progress: bool = True,
    **changes: Any,
) -> Run:
    """Train several settings on the same frames, and keep the best one: what `kfdet sweep` does.

    The settings that have finished are not trained again.

    >>> run = kfdet.sweep("videos", "sweep", {"steps": [1, 2]})
    >>> sorted(trial["settings"]["steps"] for trial in run.sweep["trials"])
    [1, 2]

    Args:
        dataset: As for `run`.
        folder: Folder of the run, which is that of the best setting; created if it does not exist.
        grid: The values of each training parameter to try; where settings are drawn, also a range
            such as "0.001..0.02".
        parameters: The parameters that the grid does not name.
        random: Train this many settings, drawn at random; 0: every combination.
        replace_run: Whether a run of another dataset in `folder` may be replaced.
        show_progress: Whether progress and warnings are shown while the run goes on.
        changes: Single parameters in place of those in `parameters`, by name.

    Raises:
        InputError: Bad input; the message names the place and the remedy.
        KfdetError: A stage failed; a note names the log.
    """
    from kfdet.local.runner import run as run_pipeline

    axes = [f"{name}={_plain(values)}" for name, values in grid.items()]
    settings = SweepSettings(grid=shlex.join(axes), random=random)
    parameters = _changed(parameters, changes)
    with _progress(show_progress) as on_event:
        return run_pipeline(
            _one_text(dataset), folder, parameters, on_event, replace=replace_run, sweep=settings
        )


@explain_missing_packages()
def check(
    dataset: str | Path | Sequence[str | Path],
    parameters: Parameters = DEFAULTS,
    *,
    show_progress: bool = True,
    **changes: Any,
) -> Check:
    """Describe a dataset, the split that a run would make, and every problem: `kfdet check`.

    >>> found = kfdet.check("videos")
    >>> found.summary.videos, len(found.errors)
    (2, 0)

    Args:
        dataset: Folder or bucket URI, or several.
        parameters: Pipeline parameters, of which sampling and split matter here.
        show_progress: Whether progress is shown.
        changes: Single parameters in place of those in `parameters`, by name.

    Raises:
        InputError: The folder or the bucket cannot be read, or holds no video and no image; or a
            parameter has a wrong value.
    """
    from kfdet.dataset.several import part_names, split_datasets
    from kfdet.planning.check import check as check_dataset
    from kfdet.storage.copies import local_dataset

    parameters = _changed(parameters, changes)
    text = _one_text(dataset)
    with _progress(show_progress), local_dataset(text) as folder:
        found = check_dataset(folder, parameters, part_names(split_datasets(text)))
        return replace(found, problems=tuple(map(with_aliases, found.problems)))


@explain_missing_packages()
def evaluate(
    model: str | Path,
    dataset: str | Path = "",
    output: str | Path | None = None,
    *,
    show_progress: bool = True,
    **changes: Any,
) -> dict[str, Any]:
    """Measure a model, or another detector's detections, on a dataset: `kfdet evaluate`.

    >>> metrics = kfdet.evaluate("run")
    >>> metrics["AP50"] == kfdet.Run.load("run").metrics["AP50"]
    True

    Args:
        model: A run, a model's folder or file, an endpoint's address, or a COCO results file.
        dataset: Folder or bucket URI; "": what the run `model` was measured on.
        output: Folder for report.html and metrics.json; None: nothing is written.
        show_progress: Whether progress and warnings are shown.
        changes: Parameters of a run that matter here, by name, such as `labels`, `every`,
            `against` or `min_ap50`.

    Returns:
        What metrics.json holds.

    Raises:
        InputError: There is no such model or dataset, or they do not fit each other.
    """
    from kfdet.local.evaluation import EvaluationSettings
    from kfdet.local.evaluation import evaluate as evaluate_model

    settings = EvaluationSettings.of(_changed(DEFAULTS, changes))
    with _progress(show_progress):
        return evaluate_model(
            str(model), str(dataset), None if output is None else Path(output), settings
        )


@explain_missing_packages()
def load_endpoint(
    name: str,
    *,
    namespace: str = "",
    url: str = "",
    threshold: float | Mapping[str, float] | None = None,
) -> Detector:
    """The detector behind an endpoint of your cluster.

    The threshold is looked up now: after a deployment, load the endpoint again.

    >>> with kfdet.load_endpoint("toys") as detector:  # doctest: +SKIP
    ...     found = detector.detect("photo.jpg")

    It asks the cluster of your kubeconfig, or in a pod its own one:

    >>> try:
    ...     kfdet.load_endpoint("toys")
    ... except kfdet.InputError as error:
    ...     print("there is no kubeconfig" in str(error))
    True

    Args:
        name: The endpoint's name.
        namespace: Its namespace; "": the pod's own, or that of the kubeconfig's context.
        url: Its address, such as that of a forwarded port; "": the one that the cluster tells.
        threshold: As for `Detector.load`; None: the one that evaluation recommends for what the
            endpoint serves to most requests.

    Raises:
        InputError: There is no such endpoint, or no cluster is configured.
    """
    from kfdet.deployment.lookup import open_client

    return open_client(name, namespace, url, threshold)


@explain_missing_packages()
def convert(
    source: str | Path,
    target: str | Path,
    to: str,
    *,
    key_frames: bool = False,
    show_progress: bool = True,
) -> Conversion:
    """Write annotations in another format: `kfdet convert`.

    >>> done = kfdet.convert("videos", "coco.json", to="coco")
    >>> done.sources, done.boxes
    (2, 120)

    Args:
        source: A dataset's folder, or one annotation file; either may be in a bucket.
        target: The file or folder to write.
        to: Name of the format, such as "coco", "yolo" or "cvat-video".
        key_frames: Write only frames that a person drew on.
        show_progress: Whether progress is shown.

    Raises:
        InputError: Bad annotations, a target folder that is not empty, or an input that the format
            cannot hold.
    """
    from kfdet.dataset.conversion import convert as convert_annotations
    from kfdet.storage.copies import local_source

    with _progress(show_progress), local_source(str(source)) as path:
        done = convert_annotations(path, Path(target), to, key_frames=key_frames)
        return replace(done, warnings=tuple(map(with_aliases, done.warnings)))


@explain_missing_packages()
def load_dataset(folder: str | Path) -> Dataset:
    """Read a dataset, match its annotations to its videos and images, and check all of it.

    A bad file, box or label becomes one of the dataset's `problems` and is left out of its items.
    The videos stay where they are, so that a dataset in a bucket has to be copied here first.

    >>> dataset = kfdet.load_dataset("videos")
    >>> dataset.labels, len(dataset.items), dataset.problems
    (['square'], 2, [])

    Raises:
        InputError: The folder does not exist, or holds no video and no image.
    """
    from kfdet.dataset.loading import load
    from kfdet.dataset.zipped import is_zip
    from kfdet.storage.address import is_bucket_uri

    if is_bucket_uri(str(folder)):
        raise InputError("is not on this machine.", file=str(folder), hint="Copy it here first.")
    if is_zip(folder):
        raise InputError("is a zip, whose videos cannot be opened.", file=folder, hint="Unpack it.")
    return load(Path(folder))


def interpolate(dataset: Dataset, method: Interpolation = "linear") -> pa.Table:
    """Boxes on every annotated frame of a dataset, from the boxes on its key frames.

    >>> boxes = kfdet.interpolate(kfdet.load_dataset("videos"))
    >>> boxes.num_rows, boxes.column_names[:4]
    (120, ['video', 'frame', 'track_id', 'label'])

    Args:
        dataset: What `load_dataset` returned.
        method: How a box moves between key frames: "linear" as in CVAT, "cubic", "tracked" in the
            video, or "auto", for each video the one that best predicts key frames left out.

    Returns:
        One row per box (`kfdet.boxes.tables.BOX_SCHEMA`): absolute float pixels, right and bottom
        exclusive; 0-based frames of the video; `method` names where the box comes from.

    Raises:
        InputError: There is no such method.
    """
    from kfdet.motion.interpolation import interpolate_videos

    methods = get_args(Interpolation)
    if method not in methods:
        raise InputError(f"method must be one of {', '.join(methods)}, got {method!r}.")

    tasks = {item.name: (item.start, item.stop, item.step) for item in dataset.items}
    videos = {item.name: item.path for item in dataset.items if item.kind == "video"}
    return interpolate_videos(dataset.key_table(), tasks, videos, method)


def _changed(parameters: Parameters, changes: Mapping[str, Any]) -> Parameters:
    """The parameters with single ones changed, checked.

    A path counts as its text, a sequence as the text of its entries, and a mapping as "key=value".

    Raises:
        InputError: A parameter has a wrong value.
        TypeError: There is no parameter of that name.
    """
    names = [each.name for each in fields(parameters)]
    for name in changes:
        if name not in names:
            similar = get_close_matches(name, names, n=1)
            hint = f"Did you mean {similar[0]!r}?" if similar else "help(kfdet.Parameters) has all."
            raise TypeError(f"there is no parameter {name!r}. {hint}")
    changed = replace(parameters, **{name: _plain(value) for name, value in changes.items()})
    changed.check()
    return changed


def _one_text(dataset: str | Path | Sequence[str | Path]) -> str:
    """The text that names one dataset or several."""
    from kfdet.dataset.several import join_datasets

    return join_datasets(map(str, dataset if isinstance(dataset, list | tuple) else [dataset]))


def _plain(value: Any) -> Any:
    """The value of a parameter as a number or text."""
    if isinstance(value, Mapping):
        value = [f"{key}={entry}" for key, entry in value.items()]
    if isinstance(value, list | tuple):
        return join_list(map(str, value))
    return str(value) if isinstance(value, PathLike) else value


@contextmanager
def _progress(show: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Draw the events of this process, or none; gives the listener."""
    if not show:
        yield lambda event: None
        return
    with show_events() as on_event, listening(on_event):
        yield on_event
