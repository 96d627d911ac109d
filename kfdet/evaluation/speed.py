"""How fast a detector is on this machine."""

from __future__ import annotations

import itertools
import platform
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kfdet.detection import Detector
from kfdet.files import count_cores

BATCH_SIZE = 8
_SECONDS = 10.0
_CALLS = {1: 24, BATCH_SIZE: 6}


@dataclass(frozen=True, slots=True)
class Speed:
    """Time of the model alone, JPEG decoding included, after warm-up; and the machine.

    Args:
        ms_per_image_batch_1: Median milliseconds, picture by picture.
        ms_per_image_batch_8: The same in batches of 8.
        model_seconds: Time of the model for the whole evaluation.
        cpu: Name of the processor.
        cores: How many of its cores this process may use.
        gpus: Names of the GPUs that TensorFlow uses.
    """

    ms_per_image_batch_1: float
    ms_per_image_batch_8: float
    model_seconds: float
    cpu: str
    cores: int
    gpus: tuple[str, ...]


def measure_speed(detector: Detector, images: Sequence[bytes], model_seconds: float) -> Speed:
    """Time `detector` on encoded `images`, which are repeated as needed.

    Args:
        detector: A detector in this process.
        images: At least one.
        model_seconds: What the whole evaluation took.
    """
    return Speed(
        ms_per_image_batch_1=time_batches(detector, images, 1),
        ms_per_image_batch_8=time_batches(detector, images, BATCH_SIZE),
        model_seconds=model_seconds,
        cpu=cpu_name(),
        cores=count_cores(),
        gpus=_gpu_names(),
    )


def time_batches(detector: Detector, images: Sequence[bytes], size: int) -> float:
    """Median milliseconds per image of batches of `size`, 1 or 8; the first call only warms up."""
    source = itertools.cycle(images)
    seconds: list[float] = []
    deadline = time.perf_counter() + _SECONDS
    for call in range(1 + _CALLS[size]):
        found = detector.detect_batch(itertools.islice(source, size))
        if call > 0:
            seconds.append(found[0].model_seconds or 0.0)
            if time.perf_counter() > deadline:
                break
    return statistics.median(seconds) * 1000


def _gpu_names() -> tuple[str, ...]:
    import tensorflow as tf

    return tuple(
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")
    )


def cpu_name() -> str:
    """Name of this machine's processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()
