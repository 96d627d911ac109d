"""The training pipeline: from videos and key-frame boxes to an evaluated, exported detector."""

from typing import NamedTuple

from kfp import dsl

from kfdet.components.evaluation import evaluation
from kfdet.components.export import export
from kfdet.components.frame_extraction import frame_extraction
from kfdet.components.interpolation import interpolation as interpolation_component
from kfdet.components.negative_mining import negative_mining
from kfdet.components.planning import planning
from kfdet.components.tfrecord_build import tfrecord_build
from kfdet.components.training import training
from kfdet.parameters import DEFAULTS


class Outputs(NamedTuple):
    """What a run leaves for its user."""

    boxes: dsl.Dataset
    records: dsl.Dataset
    model: dsl.Model
    saved_model: dsl.Model
    tflite: dsl.Model
    bundle: dsl.Artifact
    metrics: dsl.Metrics
    report: dsl.HTML
    gallery: dsl.Artifact
    verdict: bool


@dsl.pipeline(
    name="kfdet-training",
    description="From filmed objects with boxes on key frames to an evaluated, exported detector.",
)
def training_pipeline(
    dataset: str,
    dataset_version: str,
    checkpoint_root: str,
    tensorboard_root: str,
    frame_rate: float = DEFAULTS.frame_rate,
    every: int = DEFAULTS.every,
    longest_side: int = DEFAULTS.longest_side,
    jpeg_quality: int = DEFAULTS.jpeg_quality,
    interpolation: str = DEFAULTS.interpolation,
    val_share: float = DEFAULTS.val_share,
    guard_seconds: float = DEFAULTS.guard_seconds,
    negative_share: float = DEFAULTS.negative_share,
    network: str = DEFAULTS.network,
    input_size: str = DEFAULTS.input_size,
    steps: int = DEFAULTS.steps,
    batch_size: int = DEFAULTS.batch_size,
    learning_rate: float = DEFAULTS.learning_rate,
    init_checkpoint: str = DEFAULTS.init_checkpoint,
    overrides: str = DEFAULTS.overrides,
    early_stop: int = DEFAULTS.early_stop,
    min_ap50: float = DEFAULTS.min_ap50,
    min_recall: float = DEFAULTS.min_recall,
    max_false_positives: float = DEFAULTS.max_false_positives,
    seed: int = DEFAULTS.seed,
) -> Outputs:
    """Train, export and evaluate a detector on filmed objects.

    Args:
        dataset: Folder with videos or images and their annotations.
        dataset_version: Any text that changes when the dataset's content changes; part of the
            cache key.
        checkpoint_root: Folder or bucket path that keeps checkpoints while training runs.
        tensorboard_root: Folder or bucket path that gets TensorBoard logs while training runs.
        frame_rate: At most this many frames of a video are used a second.
        every: Use every Nth annotated frame instead of frame_rate; 0 leaves it to frame_rate.
        longest_side: Longest side of a stored frame in pixels; 0 keeps the source's size.
        jpeg_quality: Quality of the stored frames, 1 to 100.
        interpolation: How boxes move between key frames: linear as in CVAT, or cubic.
        val_share: Share of the dataset that only evaluation sees.
        guard_seconds: Gap between training and evaluation blocks of one video, in seconds.
        negative_share: Share of the training examples that are background without any object.
        network: ssd_mobilenet_v2_fpnlite, ssd_mobilenet_v3_small_fpnlite, ssd_resnet50_fpn,
            spinenet49_mobile, faster_rcnn_resnet50 or faster_rcnn_resnet101.
        input_size: Network input as HEIGHTxWIDTH in pixels; empty: fitted to the boxes.
        steps: Training steps; 0: fitted to the dataset.
        batch_size: Images a step; 0: fitted to the machine.
        learning_rate: Peak learning rate; 0: fitted to network and batch.
        init_checkpoint: Checkpoint to start from: a file, URL or bucket path; empty: none.
        overrides: Model Garden settings on top of everything else, as YAML.
        early_stop: Stop after this many evaluations without a better AP50; 0 never stops early.
        min_ap50: AP50 that the exported model must reach for a good verdict.
        min_recall: Share of the objects that it must find at its threshold; 0: not checked.
        max_false_positives: False detections a frame without objects that it may make; 0: not
            checked.
        seed: Seed of everything random.

    Returns:
        Boxes, records, models, metrics, report, gallery and the verdict.
    """
    plan = planning(
        dataset=dataset,
        dataset_version=dataset_version,
        frame_rate=frame_rate,
        every=every,
        val_share=val_share,
        guard_seconds=guard_seconds,
        seed=seed,
    )
    with dsl.ParallelFor(plan.outputs["Output"]) as group:
        boxes = interpolation_component(
            plan=plan.outputs["plan"], group=group.index, method=interpolation
        )
        frames = frame_extraction(
            dataset=dataset,
            plan=plan.outputs["plan"],
            group=group.index,
            frame_rate=frame_rate,
            every=every,
            longest_side=longest_side,
            jpeg_quality=jpeg_quality,
        )
    negatives = negative_mining(
        plan=plan.outputs["plan"],
        boxes=dsl.Collected(boxes.outputs["boxes"]),
        frames=dsl.Collected(frames.outputs["frames"]),
        share=negative_share,
        seed=seed,
    )
    records = tfrecord_build(
        dataset=dataset,
        plan=plan.outputs["plan"],
        boxes=dsl.Collected(boxes.outputs["boxes"]),
        frames=dsl.Collected(frames.outputs["frames"]),
        negatives=negatives.outputs["negatives"],
        seed=seed,
    )
    trained = training(
        records=records.outputs["records"],
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
    exported = export(model=trained.outputs["model"], records=records.outputs["records"])
    evaluated = evaluation(
        records=records.outputs["records"],
        saved_model=exported.outputs["saved_model"],
        training=trained.outputs["model"],
        min_ap50=min_ap50,
        min_recall=min_recall,
        max_false_positives=max_false_positives,
    )
    return Outputs(
        boxes=records.outputs["all_boxes"],
        records=records.outputs["records"],
        model=trained.outputs["model"],
        saved_model=exported.outputs["saved_model"],
        tflite=exported.outputs["tflite"],
        bundle=exported.outputs["bundle"],
        metrics=evaluated.outputs["metrics"],
        report=evaluated.outputs["report"],
        gallery=evaluated.outputs["gallery"],
        verdict=evaluated.outputs["Output"],
    )
