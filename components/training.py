"""Training: tf-models-official's own trainer."""

import json
from pathlib import Path

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import TRAINING_IMAGE
from kfdet.parameters import TrainingSettings


@component(TRAINING_IMAGE)
def training(
    records: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    mlpipeline_ui_metadata: dsl.Output[dsl.Artifact],
    settings: TrainingSettings,
    checkpoint_root: str,
    tensorboard_root: str,
    tensorboard_image: str,
    seed: int,
    gpus: str,
) -> None:
    """Train a detector; a run that was killed continues from its last checkpoint.

    Args:
        records: The TFRecords.
        model: The best checkpoint, its configuration and the history of the training.
        mlpipeline_ui_metadata: Where the TensorBoard logs are, for the KFP UI, which looks for this
            name.
        settings: What is trained, and how.
        checkpoint_root: Folder or bucket path that keeps checkpoints while training runs.
        tensorboard_root: Folder or bucket path that gets TensorBoard logs while training runs.
        tensorboard_image: Image of the TensorBoard that the run's page starts.
        seed: Seed of initial weights, order and augmentation.
        gpus: How many GPUs its pod requests; finding fewer is a warning.
    """
    from kfdet.cluster.tensorboard import write_ui_metadata
    from kfdet.stages.training import train

    logs = train(
        Path(records.path),
        Path(model.path),
        settings,
        checkpoint_root=checkpoint_root,
        tensorboard_root=tensorboard_root,
        seed=seed,
        gpus=int(gpus),
    )
    write_ui_metadata(Path(mlpipeline_ui_metadata.path), logs, tensorboard_image)
    described = json.loads(Path(model.path, "model.json").read_text())
    for name in ("network", "height", "width", "labels", "step"):
        model.metadata[name] = described[name]
