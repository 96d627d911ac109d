"""The parameters of a training run: names, meaning and defaults in one place.

The pipeline's signature (what a Kubeflow user sees), the options of `kfdet run` and the record in
run.json all come from here. Nothing heavy is imported, so that `kfdet --help` stays quick.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
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


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a user can turn; 0 or "" means: fitted to the dataset.

    Args:
        frame_rate: At most this many frames of a video are used a second.
        every: Use every Nth annotated frame instead of `frame_rate`; 0 leaves it to `frame_rate`.
        longest_side: Longest side of a stored frame in pixels; 0 keeps the source's size.
        jpeg_quality: Quality of the stored frames, 1 to 100.
        interpolation: How boxes move between key frames: "linear" as in CVAT, or "cubic".
        val_share: Share of the dataset that only evaluation sees.
        guard_seconds: Gap left between training and evaluation blocks of one video, in seconds.
        negative_share: Share of the training examples that are background without any object.
        network: One of kfdet's networks.
        input_size: Network input as HEIGHTxWIDTH in pixels.
        steps: Training steps.
        batch_size: Images a step.
        learning_rate: Peak learning rate.
        init_checkpoint: Checkpoint to start from: a file, URL or bucket path.
        overrides: Model Garden settings on top of everything else, as YAML.
        early_stop: Stop after this many evaluations without a better AP50; 0 never stops early.
        min_ap50: AP50 that the exported model must reach for a good verdict.
        min_recall: Share of the objects that it must find at its threshold; 0: not checked.
        max_false_positives: False detections a frame without objects that it may make; 0: not
            checked.
        seed: Seed of everything random.
    """

    frame_rate: float = 10.0
    every: int = 0
    longest_side: int = 0
    jpeg_quality: int = 92
    interpolation: Interpolation = "linear"
    val_share: float = 0.2
    guard_seconds: float = 3.0
    negative_share: float = 0.1
    network: Network = "ssd_mobilenet_v3_small_fpnlite"
    input_size: str = ""
    steps: int = 0
    batch_size: int = 0
    learning_rate: float = 0.0
    init_checkpoint: str = ""
    overrides: str = ""
    early_stop: int = 4
    min_ap50: float = 0.5
    min_recall: float = 0.0
    max_false_positives: float = 0.0
    seed: int = 0

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
