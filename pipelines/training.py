"""The training pipeline: from videos and key-frame boxes to an evaluated, served detector.

kfp.local runs it on one machine, a Kubeflow Pipelines backend on a cluster. What only a cluster has
(Secrets, volumes, requests, retries) is set here as well; kfp.local leaves it aside.
"""

from typing import Any, NamedTuple

from kfp import dsl, kubernetes

from kfdet.cluster.names import DEPLOYER_FOLDER, DEPLOYER_TOKEN, STORAGE_SECRET
from kfdet.cluster.tensorboard import OPTIONAL_STORAGE_VARIABLES, STORAGE_VARIABLES
from kfdet.components.deployment import deployment
from kfdet.components.evaluation import evaluation
from kfdet.components.export import export
from kfdet.components.frame_extraction import frame_extraction
from kfdet.components.image import TENSORBOARD_IMAGE
from kfdet.components.interpolation import interpolation as interpolation_component
from kfdet.components.negative_mining import negative_mining
from kfdet.components.planning import planning
from kfdet.components.tfrecord_build import tfrecord_build
from kfdet.components.training import training
from kfdet.parameters import DEFAULTS
from kfdet.pipelines.cluster_parameters import BUCKET, CLUSTER_DEFAULTS, COMPILATION_DEFAULTS


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


def _on_cluster(
    task: Any,
    title: str,
    *,
    cpu: Any = "200m",
    memory: Any = "512Mi",
    retries: int = 2,
    reads_buckets: bool = False,
) -> None:
    """What every stage needs in a pod: name, requests, retries, scratch, perhaps credentials.

    Retries wait 30, 60, ... seconds, longer than an object store takes to come back, and are few,
    because bad input fails again. The longest duration counts from the first attempt's start and
    would also end an attempt that runs.
    """
    task.set_display_name(title)
    task.set_cpu_request(cpu)
    task.set_memory_request(memory)
    task.set_retry(retries, "30s", 2.0, "30d")
    kubernetes.set_security_context(task, run_as_non_root=True)
    # HOME and TMPDIR of the images, whose root file system may be read-only
    kubernetes.empty_dir_mount(task, "scratch", "/tmp")  # noqa: S108
    if reads_buckets:
        for names, optional in ((STORAGE_VARIABLES, False), (OPTIONAL_STORAGE_VARIABLES, True)):
            variables = {name: name for name in names}
            kubernetes.use_secret_as_env(task, STORAGE_SECRET, variables, optional)


@dsl.pipeline(
    name="kfdet-training",
    description="From filmed objects with boxes on key frames to an evaluated, served detector.",
    pipeline_root=f"minio://{BUCKET}/runs",
)
def training_pipeline(
    dataset: str,
    dataset_version: str = "",
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
    endpoint: str = CLUSTER_DEFAULTS.endpoint,
    canary_percent: int = CLUSTER_DEFAULTS.canary_percent,
    model_root: str = f"minio://{BUCKET}/models",
    checkpoint_root: str = f"minio://{BUCKET}/checkpoints",
    tensorboard_root: str = f"minio://{BUCKET}/tensorboard",
    tensorboard_image: str = TENSORBOARD_IMAGE,
    accelerator_type: str = CLUSTER_DEFAULTS.accelerator_type,
    accelerator_count: str = str(CLUSTER_DEFAULTS.accelerator_count),
    node_selector: dict[str, str] = {},  # noqa: B006 (KFP only reads it)
    tolerations: list[dict[str, Any]] = [],  # noqa: B006
    training_cpu: str = CLUSTER_DEFAULTS.training_cpu,
    training_memory: str = CLUSTER_DEFAULTS.training_memory,
) -> Outputs:
    """Train, export, evaluate and serve a detector on filmed objects.

    Args:
        dataset: Bucket path (minio://BUCKET/PATH or s3://BUCKET/PATH) with videos or images and
            their annotations; `kfdet upload` puts a dataset there.
        dataset_version: Any text that changes when the dataset's content changes, so that stages
            run anew; `kfdet submit` fills it in. Empty: a changed dataset under the same path
            counts as the same.
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
        endpoint: Name of the InferenceService that serves the model if the verdict is good; empty:
            no deployment.
        canary_percent: Share of the requests that the new model gets beside the one before, where
            the cluster can split them; 0: all.
        model_root: Bucket path that keeps every deployed version.
        checkpoint_root: Bucket path that keeps checkpoints while training runs.
        tensorboard_root: Bucket path that gets TensorBoard logs while training runs.
        tensorboard_image: Image of the TensorBoard that the run's page starts.
        accelerator_type: Resource name of the GPUs that training asks for.
        accelerator_count: How many GPUs training asks for; 0: it runs on the CPU.
        node_selector: Labels of the nodes that training may run on, as JSON.
        tolerations: Taints that training tolerates, as a JSON list of Kubernetes tolerations.
        training_cpu: CPU cores that training requests.
        training_memory: Memory that training requests.

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
    _on_cluster(plan, "Planning", reads_buckets=True)
    with dsl.ParallelFor(plan.outputs["Output"], name="groups") as group:
        boxes = interpolation_component(
            plan=plan.outputs["plan"], group=group.index, method=interpolation
        )
        _on_cluster(boxes, "Interpolation")
        frames = frame_extraction(
            dataset=dataset,
            plan=plan.outputs["plan"],
            group=group.index,
            frame_rate=frame_rate,
            every=every,
            longest_side=longest_side,
            jpeg_quality=jpeg_quality,
        )
        _on_cluster(frames, "Frame extraction", cpu="500m", reads_buckets=True)
    negatives = negative_mining(
        plan=plan.outputs["plan"],
        boxes=dsl.Collected(boxes.outputs["boxes"]),
        frames=dsl.Collected(frames.outputs["frames"]),
        share=negative_share,
        seed=seed,
    )
    _on_cluster(negatives, "Negative mining")
    records = tfrecord_build(
        dataset=dataset,
        plan=plan.outputs["plan"],
        boxes=dsl.Collected(boxes.outputs["boxes"]),
        frames=dsl.Collected(frames.outputs["frames"]),
        negatives=negatives.outputs["negatives"],
        seed=seed,
    )
    _on_cluster(records, "TFRecord build", memory="1Gi")
    trained = training(
        records=records.outputs["records"],
        network=network,
        checkpoint_root=checkpoint_root,
        tensorboard_root=tensorboard_root,
        tensorboard_image=tensorboard_image,
        input_size=input_size,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        init_checkpoint=init_checkpoint,
        overrides=overrides,
        early_stop=early_stop,
        seed=seed,
        gpus=accelerator_count,
    )
    # pods are moved between nodes: more retries than elsewhere, each goes on from a checkpoint
    _on_cluster(
        trained,
        "Training",
        cpu=training_cpu,
        memory=training_memory,
        retries=5,
        reads_buckets=True,
    )
    trained.set_accelerator_type(accelerator_type)
    trained.set_accelerator_limit(accelerator_count)
    kubernetes.add_node_selector_json(trained, node_selector)
    kubernetes.add_toleration_json(trained, tolerations)
    # several GPUs talk through it; its size is compiled in, as KFP's driver wants it
    kubernetes.empty_dir_mount(
        trained,
        "shared-memory",
        "/dev/shm",  # noqa: S108
        medium="Memory",
        size_limit=COMPILATION_DEFAULTS.shared_memory,
    )
    exported = export(model=trained.outputs["model"], records=records.outputs["records"])
    _on_cluster(exported, "Export", cpu="500m", memory="2Gi")
    evaluated = evaluation(
        records=records.outputs["records"],
        saved_model=exported.outputs["saved_model"],
        training=trained.outputs["model"],
        min_ap50=min_ap50,
        min_recall=min_recall,
        max_false_positives=max_false_positives,
    )
    _on_cluster(evaluated, "Evaluation", cpu="500m", memory="2Gi")
    named = dsl.If(endpoint != "", name="endpoint-named")
    good = dsl.If(evaluated.outputs["Output"] == True, name="verdict-good")  # noqa: E712
    with named, good:
        served = deployment(
            saved_model=exported.outputs["saved_model"],
            metrics=evaluated.outputs["metrics"],
            records=records.outputs["records"],
            endpoint=endpoint,
            model_root=model_root,
            canary_percent=canary_percent,
        )
        _on_cluster(served, "Deployment", reads_buckets=True)
        served.set_caching_options(False)
        kubernetes.use_secret_as_volume(served, DEPLOYER_TOKEN, str(DEPLOYER_FOLDER))
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
