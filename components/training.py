"""Training: tf-models-official's own trainer."""

from kfp import dsl

from kfdet.components.image import TRAINING_IMAGE


@dsl.component(base_image=TRAINING_IMAGE, install_kfp_package=False)
def training(
    records: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    network: str,
    checkpoint_root: str,
    tensorboard_root: str,
    input_size: str,
    steps: int,
    batch_size: int,
    learning_rate: float,
    init_checkpoint: str,
    overrides: str,
    early_stop: int,
    seed: int,
) -> None:
    """Train a detector; a run that was killed continues from its last checkpoint.

    Args:
        records: The TFRecords.
        model: The best checkpoint, its configuration and the history of the training.
        network: One of kfdet's networks.
        checkpoint_root: Folder or bucket path that keeps checkpoints while training runs.
        tensorboard_root: Folder or bucket path that gets TensorBoard logs while training runs.
        input_size: Network input as HEIGHTxWIDTH in pixels; empty: fitted to the boxes.
        steps: Training steps; 0: fitted to the dataset.
        batch_size: Images a step; 0: fitted to the machine.
        learning_rate: Peak learning rate; 0: fitted to network and batch.
        init_checkpoint: Checkpoint to start from: a file, URL or bucket path; empty: none.
        overrides: Model Garden settings on top of everything else, as YAML.
        early_stop: Stop after this many evaluations without a better AP50; 0 never stops early.
        seed: Seed of initial weights, order and augmentation.
    """
    from kfdet.stages.training import train

    model.metadata["network"] = network
    train(
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
    )
