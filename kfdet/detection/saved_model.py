"""An exported SavedModel in this process."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from kfdet.dataset.formats.border import is_text
from kfdet.dataset.formats.limits import MAX_LABEL_LENGTH, MAX_LABELS, MAX_SIDE
from kfdet.detection.backend import OUTPUTS, Answer
from kfdet.detection.thresholds import THRESHOLDS_FILE, Thresholds
from kfdet.errors import InputError, KfdetError
from kfdet.files import count_cores, hash_file, list_files, read_document, read_whole

LABELS_FILE = Path("assets.extra", "labels.txt")
"""Label names in the folder of a SavedModel, one per line, class id 1 first."""

CHECKSUMS_FILE = LABELS_FILE.with_name("sha256.txt")
"""As sha256sum writes it, for the files that TensorFlow reads."""

DESCRIPTION_FILE = "model.json"
"""Beside the numbered versions of a SavedModel: what the network is, and how it was trained."""

_MOST_BYTES = 16 << 20
"""Of a file beside the graph."""

_MOST_REASON = 300
"""Characters of what TensorFlow says."""

_CHECKED = re.compile(r"(variables/)?\w[\w.-]*")

_STUMBLES = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError),
    *(OSError, RuntimeError, TypeError, ValueError),
)

_SUBFOLDERS = ("", "model", "saved_model")  # itself, a run's folder, an unpacked model.zip


def find_saved_model(folder: Path) -> Path:
    """The folder that holds saved_model.pb: `folder` itself or its highest numbered version.

    `folder` may also be that of a run, or of an unpacked model.zip.

    Raises:
        InputError: There is no SavedModel.
    """
    if not folder.exists():
        raise InputError(
            "does not exist.", file=folder, hint="Give the folder of a run, or a model's folder."
        )
    for start in (folder / name for name in _SUBFOLDERS):
        versions = [p.parent for p in start.glob("*/saved_model.pb") if p.parent.name.isdecimal()]
        if versions:
            return max(versions, key=lambda p: int(p.name))
        if (start / "saved_model.pb").is_file():
            return start
    raise InputError(
        "no SavedModel here.",
        file=folder,
        hint="Give the folder of a run, or one that holds 1/saved_model.pb.",
    )


@dataclass(frozen=True, slots=True)
class _Description:
    height: Annotated[int, Field(ge=1, le=MAX_SIDE)] | None = None
    width: Annotated[int, Field(ge=1, le=MAX_SIDE)] | None = None
    start: dict[str, Any] = field(default_factory=dict)


def read_model_json(folder: Path) -> dict[str, Any]:
    """What model.json beside the versions of a SavedModel holds; {} where there is none.

    Raises:
        InputError: It is damaged.
    """
    path = folder / DESCRIPTION_FILE
    return read_document(path, _Description, hint="Export again.") if path.is_file() else {}


def labels_of(saved_model: Path) -> tuple[str, ...] | None:
    """Label names of a SavedModel, class id 1 first; None where it does not tell.

    Args:
        saved_model: The folder with saved_model.pb.

    Raises:
        InputError: The file that should name them holds something else.
    """
    path = saved_model / LABELS_FILE
    if not path.is_file():
        return None
    try:
        return parse_labels(read_whole(path, _MOST_BYTES))
    except ValueError as error:
        raise InputError("holds no names of labels.", file=path, hint="Export again.") from error


def parse_labels(content: bytes) -> tuple[str, ...]:
    """The label names in a file that has one per line.

    Raises:
        ValueError: There are none, or they cannot be labels.
    """
    # Not splitlines(): a label may hold a character that it takes for a line's end.
    labels = tuple(content.decode().removesuffix("\n").split("\n"))
    if len(labels) > MAX_LABELS or not all(
        label and is_text(label, MAX_LABEL_LENGTH) for label in labels
    ):
        raise ValueError("holds no names of labels")
    return labels


def read_thresholds(saved_model: Path) -> Thresholds | None:
    """What evaluation recommended for a SavedModel; None where it was not measured.

    Args:
        saved_model: The folder with saved_model.pb.

    Raises:
        InputError: The file cannot be read.
    """
    path = saved_model / LABELS_FILE.with_name(THRESHOLDS_FILE)
    return Thresholds.parse(read_whole(path, _MOST_BYTES), str(path)) if path.is_file() else None


def write_checksums(saved_model: Path) -> None:
    """Note what the files of a SavedModel hold, for `load_graph`.

    TensorFlow would load a graph in which a bit of the weights is another, and detect something
    else.

    Args:
        saved_model: The folder with saved_model.pb.
    """
    files = [
        path for path in list_files(saved_model) if path.parent.name != LABELS_FILE.parent.name
    ]
    lines = [f"{hash_file(path)}  {path.relative_to(saved_model).as_posix()}\n" for path in files]
    (saved_model / CHECKSUMS_FILE).write_text("".join(lines), encoding="utf-8")


def load_graph(saved_model: Path, **options: Any) -> Any:
    """What TensorFlow makes of a SavedModel, after a comparison with its checksums, if it has any.

    Args:
        saved_model: The folder with saved_model.pb.
        options: For `tf.saved_model.load`.

    Raises:
        InputError: It is damaged.
    """
    tf = tensorflow()
    _check_files(saved_model)
    try:
        return tf.saved_model.load(str(saved_model), **options)
    # Whatever it stumbles over in what a damaged file says.
    except (*_STUMBLES, tf.errors.OpError) as error:
        reason = str(error).partition("\n")[0][:_MOST_REASON]
        raise _damaged(saved_model, reason) from error


def _check_files(saved_model: Path) -> None:
    path = saved_model / CHECKSUMS_FILE
    if not path.is_file():
        return
    for line in read_whole(path, _MOST_BYTES).decode("utf-8", "replace").splitlines():
        digest, _, name = line.partition("  ")
        if not _CHECKED.fullmatch(name):
            raise _damaged(saved_model, f"{path.name} is not what kfdet wrote")
        if not (saved_model / name).is_file() or hash_file(saved_model / name) != digest:
            raise _damaged(saved_model, f"{name} is not what was exported")


def _damaged(saved_model: Path, reason: str) -> InputError:
    return InputError(
        f"this SavedModel cannot be loaded: {reason}.",
        file=saved_model,
        hint="Export it again, or copy it whole.",
    )


class SavedModelBackend:
    """The signature `serving_default` of a SavedModel.

    Args:
        folder: As for `find_saved_model`.

    Raises:
        InputError: There is no SavedModel, or it does not have kfdet's signature.
        KfdetError: TensorFlow is not installed.
    """

    in_flight = 1

    def __init__(self, folder: Path) -> None:
        self._path = find_saved_model(folder)
        self.place = str(self._path)
        self._tf = tensorflow()
        # The model owns the variables: they live as long as it does.
        self._model = load_graph(self._path)
        signature = self._model.signatures.get("serving_default")
        outputs = set(signature.structured_outputs) if signature is not None else set()
        if not outputs.issuperset(OUTPUTS):
            raise InputError(
                f"the signature serving_default with outputs {', '.join(OUTPUTS)} is missing.",
                file=self._path,
                hint="Export the model with `kfdet run` or the export stage.",
            )

    @cached_property  # every answer has them
    def labels(self) -> tuple[str, ...] | None:
        """The labels beside the graph."""
        return labels_of(self._path)

    @property
    def thresholds(self) -> Thresholds | None:
        """The thresholds beside the graph."""
        return read_thresholds(self._path)

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width from model.json beside the versions."""
        described = read_model_json(self._path.parent)
        height, width = described.get("height"), described.get("width")
        return (height, width) if height and width else None

    def predict(self, pictures: Sequence[bytes]) -> Answer:
        """The outputs for all pictures in one call; `seconds` includes JPEG decoding.

        Raises:
            InputError: A picture cannot be decoded.
        """
        started = time.perf_counter()
        try:
            found = self._model.signatures["serving_default"](
                image_bytes=self._tf.constant(list(pictures))
            )
        except self._tf.errors.InvalidArgumentError as error:
            reason = str(error.message).strip().rsplit("\n", 1)[-1]
            raise InputError(f"a picture cannot be decoded: {reason}") from error
        arrays = {name: found[name].numpy() for name in OUTPUTS}
        seconds = time.perf_counter() - started
        arrays["detection_class_names"] = [
            [name.decode("utf-8", "replace") for name in names]
            for names in arrays["detection_class_names"]
        ]
        rows = [{name: arrays[name][i] for name in OUTPUTS} for i in range(len(pictures))]
        return Answer(rows, seconds)

    def close(self) -> None:
        """Release the model."""
        self._model = None


def tensorflow() -> Any:
    """TensorFlow, with as many threads as this process may use, not as the machine has.

    Raises:
        KfdetError: It is not installed.
    """
    try:
        import tensorflow as tf
    except ModuleNotFoundError as error:
        raise KfdetError(
            "A model in this process needs TensorFlow: pip install 'kfdet[train]'. "
            "The http:// address of an endpoint needs no extra package."
        ) from error
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count_cores())
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        pass  # TensorFlow is already at work in this process; its settings stay.
    return tf
