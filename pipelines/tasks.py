"""The tasks that the pipelines share.

kfp.local runs them on one machine, a Kubeflow Pipelines backend on a cluster. What only a cluster
has (Secrets, volumes, requests, retries) is set here as well; kfp.local ignores it.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import Field
from typing import Any, NamedTuple

from kfp import dsl, kubernetes

from kfdet.cluster.names import NOTIFY_VARIABLE, STORAGE_SECRET
from kfdet.cluster.parameters import (
    CLUSTER_DEFAULTS,
    Accelerators,
    CheckedSettings,
    ClusterParameters,
    ServingSettings,
    parse_quantity,
    pipeline_root,
)
from kfdet.cluster.tensorboard import OPTIONAL_STORAGE_VARIABLES, STORAGE_VARIABLES
from kfdet.components.deployment import deployment
from kfdet.components.evaluation import evaluation
from kfdet.components.export import export
from kfdet.components.fingerprint import fingerprint
from kfdet.components.frame_extraction import frame_extraction
from kfdet.components.interpolation import interpolation
from kfdet.components.negative_mining import negative_mining
from kfdet.components.notification import notification
from kfdet.components.planning import planning
from kfdet.components.tfrecord_build import tfrecord_build
from kfdet.components.training import training
from kfdet.parameters import (
    BoxSettings,
    DatasetSettings,
    ExportSettings,
    FrameSettings,
    Gate,
    NegativeSettings,
    Parameters,
    SamplingSettings,
    Settings,
    SplitSettings,
    flatten,
)
from kfdet.pipelines.compilation import Compilation
from kfdet.training.weight_cache import MIRROR_VARIABLE


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


def pipeline(
    function: Callable[..., Any],
    name: str,
    description: str,
    bucket: str,
    compilation: Compilation,
) -> Any:
    """A function of tasks as a pipeline; its dataclasses of settings become parameters.

    Args:
        function: Makes the tasks and returns their outputs.
        name: Name of the pipeline.
        description: What it does.
        bucket: Name of the bucket where everything is kept unless a parameter names another.
        compilation: What is compiled in.
    """
    defaults = CLUSTER_DEFAULTS.arguments(bucket)

    def optional(field: Field[Any], _: Any) -> tuple[Any, Any]:
        default = defaults.get(field.name, field.default)
        return type(default), default

    flat = flatten(function, optional)
    if compilation.notify_secret:
        flat = _with_notification(flat, compilation)
    return dsl.pipeline(name=name, description=description, pipeline_root=pipeline_root(bucket))(
        flat
    )


def _with_notification(function: Callable[..., Any], compilation: Compilation) -> Any:
    """The same tasks, and one that runs when they have ended, however that was.

    KFP lets a pipeline return nothing out of such a group; only kfp.local needs what it returns.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def notifying(*args: Any) -> None:
        given = signature.bind(*args).arguments
        notified = notification(
            run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            name=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            dataset=given.get("dataset") or given["source"],
            endpoint=given.get("endpoint", ""),
        )
        on_cluster(notified, "Notification", compilation, retries=0)
        notified.set_caching_options(False)
        variable = {"url": NOTIFY_VARIABLE}
        kubernetes.use_secret_as_env(notified, compilation.notify_secret, variable, optional=True)
        with dsl.ExitHandler(notified, name="run"):
            function(*args)

    without_outputs = signature.replace(return_annotation=inspect.Signature.empty)
    notifying.__dict__["__signature__"] = without_outputs
    notifying.__annotations__ = dict(function.__annotations__)
    return notifying


def prepare(
    dataset: Any, parameters: Parameters, cluster: ClusterParameters, compilation: Compilation
) -> tuple[Any, Any]:
    """From the dataset to what training reads.

    Returns:
        The task of the TFRecord build, and that of the fingerprint.
    """
    seed = parameters.seed
    found = fingerprint(
        dataset=dataset,
        **vars(parameters),
        **part(cluster, CheckedSettings),
        accelerator_count=cluster.accelerator_count,
    )
    # bad parameters fail here, once; what it does takes seconds, and it waits for a store itself
    on_cluster(found, "Fingerprint", compilation, retries=0)
    found.set_caching_options(False)  # a changed dataset has the same address
    plan = planning(
        dataset=dataset,
        fingerprint=found.outputs["digest"],
        seed=seed,
        **part(parameters, SamplingSettings),
        **part(parameters, SplitSettings),
        **part(parameters, DatasetSettings),
        **part(parameters, NegativeSettings),
    )
    on_cluster(plan, "Planning", compilation, retries=1)  # bad datasets fail here
    disk = plan.outputs["disk"]
    # under no other name: KFP 2.15 would look for what dsl.Collected gathers, and kfp.local for the
    # groups, by that name, and not find it
    with dsl.ParallelFor(plan.outputs["Output"]) as group:
        boxes = interpolation(
            dataset=dataset,
            plan=plan.outputs["plan"],
            group=group.index,
            **part(parameters, BoxSettings),
        )
        on_cluster(boxes, "Interpolation", compilation, cpu="500m", disk=disk)
        negatives = negative_mining(
            plan=plan.outputs["plan"],
            group=group.index,
            boxes=boxes.outputs["boxes"],
            seed=seed,
            **part(parameters, SamplingSettings),
        )
        on_cluster(negatives, "Negative mining", compilation)
        frames = frame_extraction(
            dataset=dataset,
            plan=plan.outputs["plan"],
            group=group.index,
            boxes=boxes.outputs["boxes"],
            negatives=negatives.outputs["negatives"],
            **part(parameters, SamplingSettings),
            **part(parameters, FrameSettings),
        )
        on_cluster(frames, "Frame extraction", compilation, cpu="500m", disk=disk)
    records = tfrecord_build(
        dataset=dataset,
        plan=plan.outputs["plan"],
        indexes=dsl.Collected(frames.outputs["index"]),
    )
    on_cluster(records, "TFRecord build", compilation, memory="1Gi")
    return records, found


def train(
    records: Any,
    settings: dict[str, Any],
    seed: Any,
    cluster: ClusterParameters,
    tensorboard_image: Any,
    compilation: Compilation,
) -> Any:
    """One training on the artifact `records`; returns its task."""
    trained = training(
        records=records,
        checkpoint_root=cluster.checkpoint_root,
        tensorboard_root=cluster.tensorboard_root,
        tensorboard_image=tensorboard_image,
        seed=seed,
        gpus=cluster.accelerator_count,
        **settings,
    )
    # pods are moved between nodes: more retries than elsewhere, each continues from a checkpoint
    on_cluster(
        trained,
        "Training",
        compilation,
        image=compilation.training_image,
        cpu=cluster.training_cpu,
        memory=cluster.training_memory,
        retries=5,
    )
    mirror = {MIRROR_VARIABLE: MIRROR_VARIABLE}
    kubernetes.use_secret_as_env(trained, STORAGE_SECRET, mirror, optional=True)
    on_accelerators(
        trained,
        cluster,
        count=cluster.accelerator_count,
        cpu=cluster.training_cpu,
        cpu_limit=cluster.training_cpu_limit,
        memory=cluster.training_memory,
    )
    # several GPUs talk through it; its size is compiled in, as KFP's driver requires
    kubernetes.empty_dir_mount(
        trained,
        "shared-memory",
        "/dev/shm",  # noqa: S108
        medium="Memory",
        size_limit=compilation.shared_memory,
    )
    return trained


def finish(
    records: Any,
    model: Any,
    found: Any,
    parameters: Parameters,
    cluster: ClusterParameters,
    compilation: Compilation,
) -> Outputs:
    """Export, evaluate and, where it is good enough, serve the artifact `model`.

    Evaluation runs where training does, on one GPU where that has any. As the image is compiled in
    and the GPUs are chosen when a run starts, it is that of training in every run: without a GPU it
    runs on the CPU, and its node may have it already.

    Args:
        records: The task of the TFRecord build.
        model: The trained model.
        found: The task of the fingerprint, which also looks up what the endpoint serves.
        parameters: The seed, the forms of the model, and the gate.
        cluster: The endpoint, and the nodes.
        compilation: What is compiled in.
    """
    exported = export(
        model=model, records=records.outputs["records"], **part(parameters, ExportSettings)
    )
    on_cluster(exported, "Export", compilation, cpu="500m", memory="2Gi")
    evaluated = evaluation(
        records=records.outputs["records"],
        exported_model=exported.outputs["saved_model"],
        exported_tflite=exported.outputs["tflite_models"],
        training=model,
        rival=found.outputs["serving"],
        seed=parameters.seed,
        **part(parameters, Gate),
    )
    on_cluster(
        evaluated,
        "Evaluation",
        compilation,
        image=compilation.training_image,
        cpu=cluster.training_cpu,
        memory=cluster.training_memory,
    )
    on_accelerators(
        evaluated,
        cluster,
        count=found.outputs["evaluation_accelerators"],
        cpu=cluster.training_cpu,
        cpu_limit=cluster.training_cpu_limit,
        memory=cluster.training_memory,
    )
    # A model that is not promoted is noted at the endpoint.
    wanted = dsl.If(
        evaluated.outputs["reaches_limits"] == True,  # noqa: E712
        name="deployment-wanted",
    )
    wanted.conditions.append(cluster.endpoint != "")  # a second group would cost another pod
    with wanted:
        served = deployment(
            saved_model=evaluated.outputs["saved_model"],
            metrics=evaluated.outputs["metrics"],
            records=records.outputs["records"],
            bundle=evaluated.outputs["bundle"],
            endpoint=cluster.endpoint,
            serving_namespace=cluster.serving_namespace,
            model_root=cluster.model_root,
            canary_percent=cluster.canary_percent,
            promote=parameters.promote,
            rival=found.outputs["serving"],
            run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            dataset=found.outputs["digest"],
            model_registry=cluster.model_registry,
            **part(cluster, ServingSettings),
            started=found.outputs["started"],
        )
        on_cluster(served, "Deployment", compilation)
        served.set_caching_options(False)
    return Outputs(
        boxes=records.outputs["all_boxes"],
        records=records.outputs["records"],
        model=model,
        saved_model=evaluated.outputs["saved_model"],
        tflite=evaluated.outputs["tflite"],
        bundle=evaluated.outputs["bundle"],
        metrics=evaluated.outputs["metrics"],
        report=evaluated.outputs["report"],
        gallery=evaluated.outputs["gallery"],
        verdict=evaluated.outputs["verdict"],
    )


def part(parameters: Settings, kind: type[Settings]) -> dict[str, Any]:
    """The parameters of one reader as keyword arguments of its component."""
    return vars(parameters.part(kind))


def on_cluster(
    task: Any,
    title: str,
    compilation: Compilation,
    *,
    image: str = "",
    cpu: Any = "200m",
    memory: Any = "512Mi",
    disk: Any = None,
    retries: int = 2,
) -> None:
    """Set what every stage needs in a pod: image, requests, retries, scratch, credentials.

    A stage with an image of its own gets limits and nodes of its own, too, from the caller.

    Retries wait 60, 120, ... seconds, longer than an object store takes to come back. They are for
    nodes that vanish, and few, because KFP cannot tell bad input, which fails again. The longest
    duration counts from the first attempt's start and would also end a running attempt.
    """
    task.set_display_name(title)
    task.set_container_image(image or compilation.image)
    task.set_cpu_request(cpu)
    task.set_memory_request(memory)
    if not image:
        _limit(task, compilation, disk)
    if retries:
        task.set_retry(retries, "60s", 2.0, "30d")
    kubernetes.set_security_context(task, run_as_non_root=True)
    if compilation.pull_secret:
        kubernetes.set_image_pull_secrets(task, [compilation.pull_secret])
    _add_scratch(task, compilation)
    # not only where a stage itself reads a bucket: the launcher beside it copies artifacts, and may
    # take its credentials from here. Optional: the cloud may give them to the pods.
    variables = {name: name for name in (*STORAGE_VARIABLES, *OPTIONAL_STORAGE_VARIABLES)}
    kubernetes.use_secret_as_env(task, STORAGE_SECRET, variables, optional=True)


def on_accelerators(
    task: Any, accelerators: Accelerators, *, count: Any, cpu: Any, cpu_limit: Any, memory: Any
) -> None:
    """Set `count` GPUs, nodes and limits of a stage with an image of its own."""
    task.set_cpu_limit(cpu_limit)
    task.set_memory_limit(memory)
    task.set_accelerator_type(accelerators.accelerator_type)
    task.set_accelerator_limit(count)
    # KFP 2.17 does not hand them into a loop by itself
    task.register_pipeline_channels(
        [
            *(cpu, cpu_limit, memory),
            *(accelerators.accelerator_type, count),
        ]
    )
    kubernetes.add_node_selector_json(task, accelerators.node_selector)
    kubernetes.add_toleration_json(task, accelerators.tolerations)


def _limit(task: Any, compilation: Compilation, disk: Any) -> None:
    """Set the limits and the nodes of a stage that never has a GPU.

    Args:
        task: Its task.
        compilation: The limits, and the nodes.
        disk: Bytes of disk that an earlier task says; None: those of the compilation.
    """
    # as numbers: KFP's SDK knows fewer notations than Kubernetes
    task.set_cpu_limit(f"{parse_quantity(compilation.stage_cpu):f}")
    task.set_memory_limit(str(int(parse_quantity(compilation.stage_memory))))
    # KFP has no setting for disks, but its driver takes any name for that of an accelerator (2.17:
    # backend/src/v2/driver/driver.go). Kubernetes makes the limit the request, too. Stages whose
    # accelerators are GPUs cannot state it.
    task.set_accelerator_type("ephemeral-storage")
    if disk is None or compilation.scratch_size:  # what takes most is on a volume then
        task.set_accelerator_limit(int(parse_quantity(compilation.stage_disk)))
    else:
        task.set_accelerator_limit(disk)
        task.register_pipeline_channels([disk])  # as in `on_accelerators`
    for label, value in compilation.node_labels().items():
        kubernetes.add_node_selector(task, label, value)
    for each in compilation.tolerations():
        kubernetes.add_toleration(
            task,
            *(each.get(name) for name in ("key", "operator", "value", "effect")),
            toleration_seconds=each.get("tolerationSeconds"),
        )


def _add_scratch(task: Any, compilation: Compilation) -> None:
    """Mount what is HOME and TMPDIR of the images, whose root file system may be read-only."""
    place = "/tmp"  # noqa: S108
    if compilation.scratch_size:
        kubernetes.add_ephemeral_volume(
            task,
            "scratch",
            place,
            ["ReadWriteOnce"],
            compilation.scratch_size,
            compilation.scratch_class or None,
        )
    else:
        kubernetes.empty_dir_mount(task, "scratch", place)
