"""The parameters of a training run: names, meaning and defaults in one place.

The pipeline's signature (what a Kubeflow user sees), the options of `kfdet run` and `kfdet submit`
and the record in run.json all come from here. Nothing heavy is imported, so that `kfdet --help`
stays quick.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from kfdet.errors import InputError

Interpolation = Literal["linear", "cubic"]
Network = Literal[
    "ssd_mobilenet_v2_fpnlite",
    "ssd_mobilenet_v3_small_fpnlite",
    "ssd_resnet50_fpn",
    "spinenet49_mobile",
    "faster_rcnn_resnet50",
    "faster_rcnn_resnet101",
]


def _option(group: str, **limits: Any) -> dict[str, Any]:
    """What the command line shows of a parameter: its group, and limits as typer names them."""
    return {"rich_help_panel": group, **limits}


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a user can turn. The command line's help shows these descriptions.

    Args:
        frame_rate: At most this many frames of a video are used a second.
        every: Use every Nth annotated frame instead of a rate; 0: by the rate.
        longest_side: Shrink frames to this longest side in pixels; 0: as filmed.
        jpeg_quality: Quality of the stored frames, 1 to 100.
        interpolation: How boxes move between key frames: linear as in CVAT, or cubic.
        val_share: Share of the dataset that only evaluation sees.
        guard_seconds: Gap between training and evaluation blocks of one video, in seconds.
        negative_share: Share of the training examples that are background without any object.
        network: One of kfdet's networks.
        input_size: Network input as HEIGHTxWIDTH in pixels; empty: fitted to the boxes.
        steps: Training steps; 0: fitted to the dataset.
        batch_size: Images a step; 0: fitted to the machine.
        learning_rate: Peak learning rate; 0: fitted to network and batch.
        init_checkpoint: Checkpoint to start from, a file, URL or bucket path; heads that do not fit
            are left out.
        overrides: Model Garden settings on top of everything else, as YAML.
        early_stop: Stop after this many evaluations without a better AP50; 0: never.
        min_ap50: AP50 that the exported model must reach for a good verdict.
        min_recall: Share of the objects that it must find at its threshold; 0: any.
        max_false_positives: False detections a frame without objects that it may make; 0: any.
        seed: Seed of everything random.
    """

    frame_rate: float = field(default=10.0, metadata=_option("Frames", min=0.001))
    every: int = field(default=0, metadata=_option("Frames", min=0))
    longest_side: int = field(default=0, metadata=_option("Frames", min=0))
    jpeg_quality: int = field(default=92, metadata=_option("Frames", min=1, max=100))
    interpolation: Interpolation = field(default="linear", metadata=_option("Data"))
    val_share: float = field(default=0.2, metadata=_option("Data", min=0.01, max=0.9))
    guard_seconds: float = field(default=3.0, metadata=_option("Data", min=0))
    negative_share: float = field(default=0.1, metadata=_option("Data", min=0, max=0.9))
    network: Network = field(
        default="ssd_mobilenet_v3_small_fpnlite", metadata=_option("Training", metavar="NAME")
    )
    input_size: str = field(default="", metadata=_option("Training", metavar="HEIGHTxWIDTH"))
    steps: int = field(default=0, metadata=_option("Training", min=0))
    batch_size: int = field(default=0, metadata=_option("Training", min=0))
    learning_rate: float = field(default=0.0, metadata=_option("Training", min=0))
    init_checkpoint: str = field(default="", metadata=_option("Training", metavar="FILE|URL"))
    overrides: str = field(default="", metadata=_option("Training", metavar="YAML"))
    early_stop: int = field(default=4, metadata=_option("Training", min=0))
    min_ap50: float = field(default=0.5, metadata=_option("Verdict", min=0, max=1))
    min_recall: float = field(default=0.0, metadata=_option("Verdict", min=0, max=1))
    max_false_positives: float = field(default=0.0, metadata=_option("Verdict", min=0))
    seed: int = field(default=0, metadata=_option("Training"))

    def check(self) -> None:
        """Find what would fail only after the frames are extracted.

        Raises:
            InputError: Names the parameter and what it should be.
        """
        import yaml

        from kfdet.training.settings import parse_input_size

        if self.input_size:
            parse_input_size(self.input_size)
        try:
            overrides = yaml.safe_load(self.overrides) or {}
        except yaml.YAMLError as error:
            raise InputError(f"the overrides are not YAML: {error}") from error
        if not isinstance(overrides, dict):
            raise InputError(
                "the overrides are not a YAML mapping.", hint="Write task: {train_data: ...}."
            )
        start = Path(self.init_checkpoint)
        if self.init_checkpoint and "://" not in self.init_checkpoint:
            found = start.exists() or any(start.parent.glob(f"{start.name}.index"))
            if not found:
                raise InputError("no such checkpoint.", file=start)

    def arguments(self) -> dict[str, Any]:
        """The parameters as keyword arguments of the pipeline."""
        return asdict(self)


DEFAULTS = Parameters()
