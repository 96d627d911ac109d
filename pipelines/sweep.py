"""The sweep: several trainings on the same records, of which the best one becomes the detector."""

from dataclasses import fields
from typing import Any, NamedTuple

from kfp import dsl

from kfdet.cluster.parameters import BUCKET, ClusterParameters
from kfdet.components.grid import grid
from kfdet.components.selection import selection
from kfdet.parameters import Parameters, SweepSettings, TrainingSettings
from kfdet.pipelines.compilation import COMPILATION_DEFAULTS, Compilation
from kfdet.pipelines.tasks import finish, on_cluster, part, pipeline, prepare, train

NAME = "kfdet-sweep"
DESCRIPTION = "Several settings, trained on the same records; the best becomes the detector."


class SweepOutputs(NamedTuple):
    """What a training leaves for its user (`kfdet.pipelines.tasks.Outputs`), and the comparison."""

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
    chosen: dict  # type: ignore[type-arg]
    sweep: dsl.Artifact
    comparison: dsl.HTML


def build_pipeline(compilation: Compilation = COMPILATION_DEFAULTS, bucket: str = BUCKET) -> Any:
    """The sweep, which KFP compiles and kfp.local runs.

    Args:
        compilation: Images, and what else is compiled in.
        bucket: Name of the bucket where everything is kept unless a parameter names another.
    """

    def sweep_pipeline(
        dataset: str,
        sweep: SweepSettings,
        parameters: Parameters,
        cluster: ClusterParameters,
        tensorboard_image: str = compilation.tensorboard_image,
    ) -> SweepOutputs:
        """Train several settings, and export, evaluate and serve the best one.

        Args:
            dataset: Bucket path (minio://BUCKET/PATH or s3://BUCKET/PATH) with videos or images and
                their annotations; `kfdet upload` puts a dataset there. Several, separated by
                commas, are merged by label.
            sweep: Which trainings are compared.
            parameters: What is trained, and how.
            cluster: What only a cluster has.
            tensorboard_image: Image of the TensorBoard that the run's page starts.

        Returns:
            Boxes, records, models, metrics, report, gallery, the verdict, and the comparison.
        """
        seed = parameters.seed
        settings = grid(**vars(sweep), **part(parameters, TrainingSettings), seed=seed)
        on_cluster(settings, "Grid", compilation, retries=0)  # a bad grid fails here
        records, found = prepare(dataset, parameters, cluster, compilation)
        # without a name, as in `prepare`
        with dsl.ParallelFor(
            settings.output, parallelism=compilation.parallel_trainings
        ) as setting:
            trained = train(
                records.outputs["records"],
                {each.name: getattr(setting, each.name) for each in fields(TrainingSettings)},
                seed,
                cluster,
                tensorboard_image,
                compilation,
            )
        chosen = selection(
            models=dsl.Collected(trained.outputs["model"]),
            records=records.outputs["records"],
            **vars(sweep),
        )
        on_cluster(chosen, "Selection", compilation, cpu="500m", memory="2Gi")
        model = chosen.outputs["model"]
        results = finish(records, model, found, parameters, cluster, compilation)
        return SweepOutputs(
            *results,
            chosen=chosen.outputs["Output"],
            sweep=chosen.outputs["sweep"],
            comparison=chosen.outputs["comparison"],
        )

    return pipeline(sweep_pipeline, NAME, DESCRIPTION, bucket, compilation)
