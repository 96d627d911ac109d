"""Training: tf-models-official's own trainer."""

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import TRAINING_IMAGE


@component(TRAINING_IMAGE)
def training(
    records: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    mlpipeline_ui_metadata: dsl.Output[dsl.Artifact],
    network: str,
    checkpoint_root: str,
    tensorboard_root: str,
    tensorboard_image: str,
    input_size: str,
    steps: int,
    batch_size: int,
    learning_rate: float,
    init_checkpoint: str,
    overrides: str,
    early_stop: int,
    seed: int,
    gpus: str,
) -> None:
    """Train a detector; a run that was killed continues from its last checkpoint.

    Args:
        records: The TFRecords.
        model: The best checkpoint, its configuration and the history of the training.
        mlpipeline_ui_metadata: Tells the KFP UI where the TensorBoard logs are; the UI knows it by
            this name.
        network: One of kfdet's networks.
        checkpoint_root: Folder or bucket path that keeps checkpoints while training runs.
        tensorboard_root: Folder or bucket path that gets TensorBoard logs while training runs.
        tensorboard_image: Image of the TensorBoard that the run's page starts.
        input_size: Network input as HEIGHTxWIDTH in pixels; empty: fitted to the boxes.
        steps: Training steps; 0: fitted to the dataset.
        batch_size: Images a step; 0: fitted to the machine.
        learning_rate: Peak learning rate; 0: fitted to network and batch.
        init_checkpoint: Checkpoint to start from: a file, URL or bucket path; empty: none.
        overrides: Model Garden settings on top of everything else, as YAML.
        early_stop: Stop after this many evaluations without a better AP50; 0 never stops early.
        seed: Seed of initial weights, order and augmentation.
        gpus: How many GPUs its pod asks for; a warning tells when it finds fewer.
    """
    import json
    from pathlib import Path

    from kfdet.cluster.tensorboard import write_ui_metadata
    from kfdet.stages.training import train

    logs = train(
        records.path,
        model.path,
        network=network,
        checkpoint_root=checkpoint_root,
        tensorboard_root=tensorboard_root,
        input_size=input_size,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        init_checkpoint=init_checkpoint,
        overrides=overrides,
        early_stop=early_stop,
        seed=seed,
        gpus=gpus,
    )
    write_ui_metadata(Path(mlpipeline_ui_metadata.path), logs, tensorboard_image)
    described = json.loads(Path(model.path, "model.json").read_text())
    for name in ("network", "height", "width", "labels", "step"):
        model.metadata[name] = described[name]
