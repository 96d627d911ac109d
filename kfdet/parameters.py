"""The parameters of a training run: name, type, default, limits and help of each, in one place.

The pipeline's signature and description (what a Kubeflow user sees), the signatures of the
components, the options of `kfdet run` and `kfdet submit`, and the record in run.json all come from
here: `flatten` makes them. Nothing heavy is imported, so that `kfdet --help` stays quick.
"""

from __future__ import annotations

import csv
import functools
import inspect
import io
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from kfdet.errors import InputError

Interpolation = Literal["auto", "linear", "cubic", "tracked"]
Freeze = Literal["none", "backbone", "decoder"]
Precision = Literal["float32", "float16", "int8"]
Mirror = Literal["horizontal", "vertical", "both", "none"]
DetectionFormat = Literal[
    "drawn", "jsonl", "csv", "parquet", "coco", "yolo", "cvat-images", "cvat-video", "label-studio"
]
Network = Literal[
    "ssd_mobilenet_v2_fpnlite",
    "ssd_mobilenet_v3_small_fpnlite",
    "ssd_resnet50_fpn",
    "spinenet49_mobile",
    "faster_rcnn_resnet50",
    "faster_rcnn_resnet101",
]

S = TypeVar("S", bound="Settings")
R = TypeVar("R")


def parameter(default: Any, group: str, text: str, **limits: Any) -> Any:
    """The field of one parameter.

    Args:
        default: Its default.
        group: The panel of the command line's help that lists it.
        text: Its help.
        limits: `min`, `max`, and what else typer.Option takes; `multiple` where the text is a list
            (see `split_list`), of which an option may give one entry at a time.
    """
    return field(default=default, metadata={"rich_help_panel": group, "help": text, **limits})


@dataclass(frozen=True)
class Settings:
    """Parameters that are read together: one dataclass for each reader."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            # equal settings look alike, and JSON does not tell 10 from 10.0
            if each.type == "float" and type(value) is int:
                object.__setattr__(self, each.name, float(value))
            elif each.type == "int" and isinstance(value, float) and value.is_integer():
                object.__setattr__(self, each.name, int(value))

    def check(self) -> None:
        """Compare every value with its type and its limits.

        Raises:
            InputError: Names the parameter, what it must be, and what it is.
        """
        hints = get_type_hints(type(self))
        for each in fields(self):
            value = getattr(self, each.name)
            wanted = _violated(value, hints[each.name], each.metadata)
            if wanted:
                raise InputError(f"{each.name} must be {wanted}, got {value!r}.")

    def part(self, kind: type[S]) -> S:
        """The settings of one reader, out of those of several."""
        return kind(**{each.name: getattr(self, each.name) for each in fields(kind)})


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _violated(value: Any, kind: Any, limits: Any) -> str:
    """What a value must be; "" if it is that."""
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        return "" if value in choices else f"one of {', '.join(choices)}"
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        return _KINDS[kind]
    low, high = limits.get("min"), limits.get("max")
    if kind is float and high is None and not math.isfinite(value):
        return "a finite number"
    if (low is None or value >= low) and (high is None or value <= high):
        return ""
    return f"at least {low}" if high is None else f"{low} to {high}"


@dataclass(frozen=True)
class SamplingSettings(Settings):
    """Which annotated frames are used."""

    frame_rate: float = parameter(
        10.0,
        "Frames",
        "Use at most this many frames of a video per second, and all key frames.",
        min=0.001,
    )
    every: int = parameter(
        0, "Frames", "Use every Nth annotated frame instead of a rate; 0: by the rate.", min=0
    )


@dataclass(frozen=True)
class FrameSettings(Settings):
    """How frames are stored."""

    longest_side: int = parameter(
        0,
        "Frames",
        "Shrink frames to this length of their longest side in pixels; 0: keep their size.",
        min=0,
    )
    jpeg_quality: int = parameter(
        92, "Frames", "Quality of the stored frames, 1 to 100.", min=1, max=100
    )


@dataclass(frozen=True)
class BoxSettings(Settings):
    """How boxes get onto the frames between key frames."""

    interpolation: Interpolation = parameter(
        "auto",
        "Data",
        "How boxes move between key frames: linear as in CVAT, cubic, tracked in the video, or "
        "auto: for each video the one that best predicts key frames that are left out.",
    )


@dataclass(frozen=True)
class Ignored:
    """What is neither learned nor counted, as `DatasetSettings.ignore` names it.

    Args:
        difficult: Boxes that are marked as difficult.
        occluded: Boxes that are marked as occluded.
        labels: Boxes with these labels: they are regions that may hold anything.
        regions: Pattern of names of videos and images, and xmin, ymin, xmax, ymax in pixels.
    """

    difficult: bool = False
    occluded: bool = False
    labels: tuple[str, ...] = ()
    regions: tuple[tuple[str, tuple[float, float, float, float]], ...] = ()


@dataclass(frozen=True)
class DatasetSettings(Settings):
    """What of a dataset is used, as what, and on which side.

    A dataset.yaml has keys of the same names. Texts are lists, see `split_list`.
    """

    videos: str = parameter(
        "",
        "Data",
        "Use only these videos and images: names, or patterns such as 'kitchen*'.",
        metavar="GLOB",
        multiple=True,
    )
    labels: str = parameter("", "Data", "Learn only these labels.", metavar="NAME", multiple=True)
    rename: str = parameter(
        "",
        "Data",
        "Rename a label, or merge it into another one.",
        metavar="OLD=NEW",
        multiple=True,
    )
    ignore: str = parameter(
        "",
        "Data",
        "Neither learn nor count what is difficult, occluded, label=NAME or region=GLOB:BOX.",
        metavar="WHAT",
        multiple=True,
    )
    merge_boxes: bool = parameter(
        False, "Data", "Unite several boxes of one label around one object of a picture."
    )
    val: str = parameter(
        "", "Data", "Validate with these videos and images.", metavar="GLOB", multiple=True
    )
    test: str = parameter(
        "",
        "Data",
        "Measure the result with these videos and images, which nothing else sees.",
        metavar="GLOB",
        multiple=True,
    )
    own_sides: bool = parameter(
        True,
        "Data",
        "Keep the training, validation and test sides that a dataset defines itself.",
    )
    keep_going: bool = parameter(
        False, "Data", "Leave out videos and images that cannot be read, with a warning each."
    )

    def check(self) -> None:
        """Read every list.

        Raises:
            InputError: One of them has another form.
        """
        super().check()
        self.renames()
        self.ignored()

    def renames(self) -> dict[str, str]:
        """New labels by old label.

        Raises:
            InputError: An entry is not OLD=NEW, or a label has two new names.
        """
        found: dict[str, str] = {}
        for entry in split_list(self.rename):
            old, equals, new = (part.strip() for part in entry.partition("="))
            if not (old and equals and new):
                raise InputError(f"rename must be OLD=NEW, got {entry!r}.")
            if found.setdefault(old, new) != new:
                raise InputError(
                    f"label {old!r} is renamed to both {found[old]!r} and {new!r}.",
                    hint="Give it one new name.",
                )
        return found

    def ignored(self) -> Ignored:
        """What is neither learned nor counted.

        Raises:
            InputError: An entry is not known.
        """
        flags: dict[str, bool] = {}
        labels, regions = [], []
        for entry in split_list(self.ignore):
            kind, _, value = (part.strip() for part in entry.partition("="))
            if kind in ("difficult", "occluded") and not value:
                flags[kind] = True
            elif kind == "label" and value:
                labels.append(value)
            elif kind == "region" and value:
                regions.append(_region(value))
            else:
                raise InputError(
                    "ignore must be difficult, occluded, label=NAME or "
                    f"region=GLOB:XMIN:YMIN:XMAX:YMAX, got {entry!r}."
                )
        return Ignored(**flags, labels=tuple(labels), regions=tuple(regions))


def _region(text: str) -> tuple[str, tuple[float, float, float, float]]:
    pattern, *sides = text.rsplit(":", 4)
    try:
        xmin, ymin, xmax, ymax = map(float, sides)
    except ValueError:
        xmin, ymin, xmax, ymax = 0.0, 0.0, 0.0, 0.0
    if not (pattern and xmin < xmax < math.inf and ymin < ymax < math.inf):
        raise InputError(
            f"a region must be GLOB:XMIN:YMIN:XMAX:YMAX in pixels, got {text!r}.",
            hint="Write for example 'garage*:0:0:640:80'.",
        )
    return pattern, (xmin, ymin, xmax, ymax)


@dataclass(frozen=True)
class SplitSettings(Settings):
    """What evaluates instead of training."""

    val_share: float = parameter(
        0.2, "Data", "Share of the dataset that is used only for evaluation.", min=0.01, max=0.9
    )
    guard_seconds: float = parameter(
        3.0, "Data", "Gap between training and evaluation blocks of one video, in seconds.", min=0
    )


@dataclass(frozen=True)
class NegativeSettings(Settings):
    """How many examples without objects train."""

    negative_share: float = parameter(
        0.1,
        "Data",
        "Share of the training examples that are background without any object.",
        min=0,
        max=0.9,
    )


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """What is trained, and how; 0 and "" mean: fitted to the dataset and the machine."""

    network: Network = parameter(
        "ssd_mobilenet_v3_small_fpnlite",
        "Training",
        f"The detector to train: {', '.join(get_args(Network)[:-1])} or {get_args(Network)[-1]}.",
        metavar="NAME",
    )
    input_size: str = parameter(
        "",
        "Training",
        "Network input as HEIGHTxWIDTH in pixels; empty: fitted to the boxes.",
        metavar="HEIGHTxWIDTH",
    )
    steps: int = parameter(0, "Training", "Training steps; 0: fitted to the dataset.", min=0)
    batch_size: int = parameter(0, "Training", "Images per step; 0: fitted to the machine.", min=0)
    learning_rate: float = parameter(
        0.0, "Training", "Peak learning rate; 0: fitted to the network and the batch.", min=0
    )
    pretrained: str = parameter(
        "",
        "Training",
        "Weights to start from: imagenet (a backbone), coco (a detector), endpoint:NAME (the model "
        "that it serves), an earlier run, a checkpoint's path or URL, or none, which needs no "
        "network; empty: imagenet where available, else none.",
        metavar="START",
    )
    freeze: Freeze = parameter(
        "none",
        "Training",
        "Part of the network that keeps the weights it starts from: none, backbone, or decoder "
        "(the backbone and the feature pyramid).",
        metavar="PART",
    )
    overrides: str = parameter(
        "",
        "Training",
        "Model Garden settings on top of everything else, as YAML.",
        metavar="YAML",
    )
    mirror: Mirror = parameter(
        "horizontal",
        "Augmentation",
        f"How half of the training pictures are mirrored: {', '.join(get_args(Mirror)[:-1])} or "
        f"{get_args(Mirror)[-1]}.",
    )
    colour: float = parameter(
        1.0, "Augmentation", "Strength of random changes of the colours; 0: none.", min=0, max=3
    )
    min_zoom: float = parameter(
        0.75, "Augmentation", "Training pictures are shrunk to this scale at most.", min=0.1, max=1
    )
    max_zoom: float = parameter(
        1.35,
        "Augmentation",
        "Training pictures are enlarged to this scale at most.",
        min=1,
        max=5,
    )
    jitter_boxes: float = parameter(
        0.0,
        "Augmentation",
        "Move each edge of a training box at random by up to this share of the box; 0: never.",
        min=0,
        max=0.3,
    )
    early_stop: int = parameter(
        4, "Training", "Stop after this many validations without a better AP; 0: never.", min=0
    )
    deadline: str = parameter(
        "",
        "Training",
        "Longest time that training takes, such as 90m or 6h; it then ends with the best weights "
        "so far. Empty: no limit.",
        metavar="TIME",
    )
    cache_gb: float = parameter(
        0.0,
        "Training",
        "Gigabytes of disk for decoded pictures; where they do not suffice, pictures are decoded "
        "anew for each step. 0: half of what is free.",
        min=0,
        max=100_000,
        metavar="GB",
    )


@dataclass(frozen=True)
class ExportSettings(Settings):
    """In which forms the model is exported."""

    tflite: str = parameter(
        "",
        "Export",
        "Precisions of the TFLite model besides float32, which is always written: float16 halves "
        "its size, int8 takes a third of it and runs on integer accelerators.",
        metavar="PRECISION",
        multiple=True,
    )

    def check(self) -> None:
        """Read the list.

        Raises:
            InputError: It names another precision.
        """
        super().check()
        self.precisions()

    def precisions(self) -> tuple[Precision, ...]:
        """What is written, float32 first.

        Raises:
            InputError: The list names another precision.
        """
        known: tuple[Precision, ...] = get_args(Precision)
        wanted = split_list(self.tflite)
        for name in wanted:
            if name not in known:
                raise InputError(f"tflite must be {', '.join(known)}, or several, got {name!r}.")
        return tuple(name for name in known if name == "float32" or name in wanted)


Promotion = Literal["always", "not-worse", "better"]
"""What a detector must be, compared with another one, to take its place."""


@dataclass(frozen=True)
class SweepSettings(Settings):
    """Which trainings a sweep compares."""

    grid: str = parameter(
        "",
        "Sweep",
        "Values of a training parameter to try, today's first: NAME=VALUE,VALUE, or with --random "
        "also a range, NAME=LOW..HIGH; several parameters are separated by spaces.",
        metavar="NAME=VALUES",
    )
    random: int = parameter(
        0,
        "Sweep",
        "Train this many settings, drawn at random; 0: every combination.",
        min=0,
        metavar="NUMBER",
    )


MAX_IN_FLIGHT = 64
"""Requests that one detector may have under way at an endpoint at a time."""


@dataclass(frozen=True)
class StreamSettings(Settings):
    """Which frames of a video or camera are detected on, and which detections are kept."""

    every: int = parameter(1, "Frames", "Detect on every Nth frame only.", min=1)
    start: float = parameter(0.0, "Frames", "Begin at this second of each video.", min=0)
    stop: float = parameter(
        0.0,
        "Frames",
        "End before this second of each video, or after so many seconds of a camera; 0: at its "
        "end.",
        min=0,
    )
    longest_side: int = parameter(
        0,
        "Frames",
        "Shrink frames to this length of their longest side in pixels before they go to the "
        "model; 0: keep their size. Boxes are in pixels of the source all the same.",
        min=0,
    )
    max_in_flight: int = parameter(
        0,
        "Frames",
        "Most requests that are under way at a time; 0: 8 at an endpoint, 1 with a model in this "
        "process.",
        min=0,
        max=MAX_IN_FLIGHT,
    )
    labels: str = parameter(
        "", "Detections", "Keep only detections of these labels.", multiple=True, metavar="LABEL"
    )
    min_box_area: float = parameter(
        0.0, "Detections", "Leave out boxes with a smaller area, in pixels of the source.", min=0
    )

    def check(self) -> None:
        """Compare every value with its limits.

        Raises:
            InputError: Names the parameter, what it must be, and what it is.
        """
        super().check()
        if 0 < self.stop <= self.start:
            raise InputError(f"stop must be later than start ({self.start:g}), got {self.stop:g}.")


@dataclass(frozen=True)
class ScoringSettings(Settings):
    """How a folder of pictures and videos is scored."""

    every: int = parameter(1, "Scoring", "Score every Nth frame of a video.", min=1)
    threshold: float = parameter(
        0.0,
        "Scoring",
        "Leave out detections with a lower score; 0: the threshold that comes with the model.",
        min=0,
        max=1,
    )
    keep_going: bool = parameter(
        False,
        "Scoring",
        "Succeed although files could not be scored; they are listed in any case.",
    )


@dataclass(frozen=True)
class Gate(Settings):
    """What a detector must reach to be served."""

    min_ap50: float = parameter(
        0.5, "Verdict", "AP50 that the exported model must reach; 0: any.", min=0, max=1
    )
    min_recall: float = parameter(
        0.0,
        "Verdict",
        "Share of the objects that it must find at its threshold; 0: any.",
        min=0,
        max=1,
    )
    max_false_positives: float = parameter(
        0.0, "Verdict", "False detections allowed per frame without objects; 0: any number.", min=0
    )
    promote: Promotion = parameter(
        "always",
        "Verdict",
        "Required result of the comparison with the model of --against, and on a cluster with what "
        "the endpoint serves: not-worse or better; always: none.",
    )
    against: str = parameter(
        "",
        "Verdict",
        "Compare with this model on the same frames: a run, or a model's folder, file or bucket "
        "URI.",
        metavar="RUN|MODEL",
    )


@dataclass(frozen=True)
class Parameters(
    # dataclass fields come in reverse order of the bases: sampling first
    Gate,
    ExportSettings,
    TrainingSettings,
    NegativeSettings,
    SplitSettings,
    DatasetSettings,
    BoxSettings,
    FrameSettings,
    SamplingSettings,
):
    """All parameters of a training run; each has a default.

    >>> parameters = kfdet.Parameters(steps=300, frame_rate=5)
    >>> parameters.steps, parameters.network
    (300, 'ssd_mobilenet_v3_small_fpnlite')
    """

    seed: int = parameter(0, "Training", "Seed of every random choice.", min=0)

    def check(self) -> None:
        """Find what would fail only after the frames are extracted.

        Raises:
            InputError: Names the parameter, and what it should be.
        """
        import yaml

        super().check()
        if self.seed >= 1 << 32:  # a limit of NumPy's; as a range it would be too long for the help
            raise InputError(f"seed must be less than {1 << 32}, got {self.seed}.")
        if self.input_size:
            parse_input_size(self.input_size)
        parse_deadline(self.deadline)
        try:
            overrides = yaml.safe_load(self.overrides) or {}
        except yaml.YAMLError as error:
            raise InputError(f"the overrides are not YAML: {error}") from error
        if not isinstance(overrides, dict):
            raise InputError(
                "the overrides are not a YAML mapping.", hint="Write task: {train_data: ...}."
            )
        if self.freeze != "none" and self.pretrained == NO_START:
            raise InputError(
                f"freeze is {self.freeze}, but training starts from random weights.",
                hint="Name the weights to keep with --pretrained, or freeze nothing.",
            )
        if self.freeze == "decoder" and self.pretrained in ("", DEFAULT_START):
            raise InputError(
                "freeze is decoder, but ImageNet weights are those of a backbone only.",
                hint="Freeze the backbone, or name other weights with --pretrained.",
            )
        if is_local_start(self.pretrained):
            start = Path(self.pretrained)
            if not start.exists() and not any(start.parent.glob(f"{start.name}.index")):
                raise InputError(
                    "no such checkpoint.",
                    file=start,
                    hint="--pretrained is none, imagenet, coco, endpoint:NAME, a run, or the path "
                    "or URL of a checkpoint.",
                )

    def arguments(self) -> dict[str, Any]:
        """The parameters as keyword arguments of the pipeline."""
        return asdict(self)


def split_list(text: str) -> list[str]:
    """The entries of a list: separated by commas, in double quotes where one holds a comma.

    >>> split_list('kitchen*, "a,b"')
    ['kitchen*', 'a,b']
    """
    lines = csv.reader(text.splitlines(), skipinitialspace=True)
    return [entry.strip() for line in lines for entry in line if entry.strip()]


def join_list(entries: Iterable[str]) -> str:
    """The text of which `split_list` makes `entries`."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(entries)
    return text.getvalue()


NO_START = "none"
"""The value of `pretrained` that starts from random weights."""

DEFAULT_START = "imagenet"
"""What an empty `pretrained` means where it is available."""

PUBLISHED_STARTS = ("imagenet", "coco")
"""The values of `pretrained` that name weights which others have published."""

ENDPOINT_START = "endpoint:"
"""What a value of `pretrained` begins with that names an endpoint."""


def is_local_start(pretrained: str) -> bool:
    """Whether `TrainingSettings.pretrained` names files on this machine."""
    return (
        pretrained not in ("", NO_START, *PUBLISHED_STARTS)
        and "://" not in pretrained
        and not pretrained.startswith(ENDPOINT_START)
    )


def parse_input_size(text: str) -> tuple[int, int]:
    """Height and width of "HEIGHTxWIDTH".

    Raises:
        InputError: The text has another form.
    """
    found = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text.strip())
    if not found:
        raise InputError(
            f'input size "{text}" is not HEIGHTxWIDTH.', hint='Write for example "288x384".'
        )
    return int(found[1]), int(found[2])


def parse_deadline(text: str) -> float:
    """Seconds of a time such as 6h, 90m or 1h30m; infinity for "".

    Raises:
        InputError: The text has another form.
    """
    if not text:
        return math.inf
    found = re.fullmatch(r"(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?", text, re.ASCII)
    hours, minutes, seconds = map(int, found.groups(default="0")) if found else (0, 0, 0)
    total = 3600.0 * hours + 60.0 * minutes + seconds
    if not total:
        raise InputError(
            f"deadline must be a time, got {text!r}.", hint="Write for example 90m, 6h or 1h30m."
        )
    return total


def flatten(
    function: Callable[..., R], option: Callable[[Field[Any], Any], tuple[Any, Any]]
) -> Callable[..., R]:
    """Replace each argument of a function that is a dataclass of settings by its fields.

    The result has the fields in its signature and its docstring, where KFP and Typer read them, and
    builds the dataclasses when it is called.

    Args:
        function: Annotated; the section Args of its docstring may name the argument.
        option: Gives annotation and default of the argument for a field, from that and its type.
    """
    own = inspect.signature(function, eval_str=True)
    groups = {name: p.annotation for name, p in own.parameters.items()}
    groups = {n: k for n, k in groups.items() if isinstance(k, type) and issubclass(k, Settings)}
    arguments: list[inspect.Parameter] = []
    documentation = inspect.getdoc(function) or ""
    for name, argument in own.parameters.items():
        if name not in groups:
            arguments.append(argument)
            continue
        hints = get_type_hints(groups[name])
        for each in fields(groups[name]):
            annotation, default = option(each, hints[each.name])
            arguments.append(
                inspect.Parameter(each.name, argument.kind, default=default, annotation=annotation)
            )
        entry = rf"(?m)^    {name}: .*(\n {{8}}.*)*"
        documentation = re.sub(entry, explain(groups[name]).replace("\\", r"\\"), documentation)
    signature = own.replace(parameters=arguments)

    @functools.wraps(function)
    def flat(*args: Any, **options: Any) -> R:
        given = signature.bind(*args, **options).arguments
        for name, kind in groups.items():
            names = [each.name for each in fields(kind) if each.name in given]
            given[name] = kind(**{each: given.pop(each) for each in names})
        return function(**given)

    flat.__doc__ = documentation
    flat.__annotations__ = {argument.name: argument.annotation for argument in arguments}
    flat.__dict__["__signature__"] = signature
    return flat


def explain(kind: Any) -> str:
    """The entries of a settings dataclass in a docstring's section Args."""
    return "\n".join(f"    {each.name}: {each.metadata['help']}" for each in fields(kind))


Parameters.__doc__ = f"{Parameters.__doc__}\n\nArgs:\n{explain(Parameters)}\n"

DEFAULTS = Parameters()
