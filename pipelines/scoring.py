"""Batch scoring: a folder of pictures and videos in a bucket through a model."""

from typing import Any, NamedTuple

from kfp import dsl

from kfdet.cluster.parameters import BUCKET, Accelerators, ScoringPods
from kfdet.components.scoring import scoring
from kfdet.components.scoring_plan import scoring_plan
from kfdet.components.scoring_summary import scoring_summary
from kfdet.parameters import ScoringSettings
from kfdet.pipelines.compilation import COMPILATION_DEFAULTS, Compilation
from kfdet.pipelines.tasks import on_accelerators, on_cluster, pipeline

NAME = "kfdet-scoring"
DESCRIPTION = "Every picture and video of a bucket through a model, without an endpoint."


class ScoringOutputs(NamedTuple):
    """What a scoring leaves for its user, beside the results in their folder."""

    page: dsl.HTML
    summary: dsl.Metrics


def build_pipeline(compilation: Compilation = COMPILATION_DEFAULTS, bucket: str = BUCKET) -> Any:
    """The scoring, which KFP compiles.

    Args:
        compilation: Images, and what else is compiled in.
        bucket: Name of the bucket where the artifacts are kept.
    """

    def scoring_pipeline(
        source: str,
        target: str,
        model: str,
        settings: ScoringSettings,
        pods: ScoringPods,
        accelerators: Accelerators,
    ) -> ScoringOutputs:
        """Score every picture and video of a folder, but those whose results are there already.

        Args:
            source: Bucket path (minio://BUCKET/PATH or s3://BUCKET/PATH) with pictures and videos.
            target: Bucket path of the results.
            model: Bucket path of a model: its folder, a .tflite file or a model.zip.
            settings: How the files are scored.
            pods: How they are shared out.
            accelerators: The nodes.

        Returns:
            A page with numbers and pictures, and the numbers.
        """
        plan = scoring_plan(
            source=source, target=target, model=model, **vars(settings), **vars(pods)
        )
        # bad parameters and models fail here, once
        on_cluster(plan, "Scoring plan", compilation, cpu="500m", memory="2Gi", retries=0)
        plan.set_caching_options(False)  # the same addresses may have other content
        # without a name, as in `kfdet.pipelines.tasks.prepare`
        with dsl.ParallelFor(plan.outputs["Output"]) as group:
            scored = scoring(plan=plan.outputs["plan"], group=group.index)
            # pods are moved between nodes: each goes on where the last one was
            on_cluster(
                scored,
                "Scoring",
                compilation,
                image=compilation.training_image,
                cpu=pods.scoring_cpu,
                memory=pods.scoring_memory,
                retries=5,
            )
            scored.set_caching_options(False)
            on_accelerators(
                scored,
                accelerators,
                count=accelerators.accelerator_count,
                cpu=pods.scoring_cpu,
                cpu_limit=pods.scoring_cpu,
                memory=pods.scoring_memory,
            )
        done = scoring_summary(
            plan=plan.outputs["plan"], outcomes=dsl.Collected(scored.outputs["outcome"])
        )
        # without retries: files that could not be scored would fail again
        on_cluster(done, "Scoring summary", compilation, cpu="500m", memory="1Gi", retries=0)
        done.set_caching_options(False)
        return ScoringOutputs(page=done.outputs["page"], summary=done.outputs["summary"])

    return pipeline(scoring_pipeline, NAME, DESCRIPTION, bucket, compilation)
