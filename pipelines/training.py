"""The training pipeline: from videos and key-frame boxes to an evaluated, served detector."""

from typing import Any

from kfdet.cluster.parameters import BUCKET, ClusterParameters
from kfdet.parameters import Parameters, TrainingSettings
from kfdet.pipelines.compilation import COMPILATION_DEFAULTS, Compilation
from kfdet.pipelines.tasks import Outputs, finish, part, pipeline, prepare, train

NAME = "kfdet-training"
DESCRIPTION = "From filmed objects with boxes on key frames to an evaluated, served detector."


def build_pipeline(compilation: Compilation = COMPILATION_DEFAULTS, bucket: str = BUCKET) -> Any:
    """The training pipeline, which KFP compiles and kfp.local runs.

    Args:
        compilation: Images, and what else is compiled in.
        bucket: Name of the bucket where everything is kept unless a parameter names another.
    """

    def training_pipeline(
        dataset: str,
        parameters: Parameters,
        cluster: ClusterParameters,
        tensorboard_image: str = compilation.tensorboard_image,
    ) -> Outputs:
        """Train, export, evaluate and serve a detector on filmed objects.

        Args:
            dataset: Bucket path (minio://BUCKET/PATH or s3://BUCKET/PATH) with videos or images and
                their annotations; `kfdet upload` puts a dataset there. Several, separated by
                commas, are merged by label.
            parameters: What is trained, and how.
            cluster: What only a cluster has.
            tensorboard_image: Image of the TensorBoard that the run's page starts.

        Returns:
            Boxes, records, models, metrics, report, gallery and the verdict.
        """
        records, found = prepare(dataset, parameters, cluster, compilation)
        trained = train(
            records.outputs["records"],
            part(parameters, TrainingSettings),
            parameters.seed,
            cluster,
            tensorboard_image,
            compilation,
        )
        model = trained.outputs["model"]
        return finish(records, model, found, parameters, cluster, compilation)

    return pipeline(training_pipeline, NAME, DESCRIPTION, bucket, compilation)
