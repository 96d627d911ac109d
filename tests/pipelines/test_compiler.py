"""A compiled pipeline has no field that the Kubeflow Pipelines which it is for does not know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from google.protobuf import json_format
from google.protobuf.message import Message
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

from kfdet.cluster.releases import PIPELINES, Release
from kfdet.errors import InputError
from kfdet.pipelines.compilation import Compilation, PipelineName
from kfdet.pipelines.compiler import compile_pipeline

RELEASES = [(2, minor) for minor in range(PIPELINES.oldest[1], PIPELINES.newest[1] + 1)]

ADDED: dict[str, Release] = {
    "kfp_kubernetes.KubernetesExecutorConfig.security_context": (2, 16),
    "kfp_kubernetes.PvcMount.sub_path": (2, 16),
    "ml_pipelines.ComponentInputsSpec.ParameterSpec.literals": (2, 16),
    "kfp_kubernetes.CreatePvc.data_source": (2, 17),
    "ml_pipelines.PipelineConfig.resource_ttl_on_completion": (2, 17),
    "ml_pipelines.PipelineConfig.resource_ttl_on_success": (2, 17),
    "ml_pipelines.PipelineConfig.resource_ttl_on_failure": (2, 17),
    "ml_pipelines.PipelineConfig.active_deadline_seconds": (2, 17),
}
"""The fields that are younger than 2.15: the difference between the packages kfp-pipeline-spec and
kfp-kubernetes 2.15.0, 2.16.0 and 2.17.0. Newer packages may add more."""


def used_fields(message: Message) -> Iterator[str]:
    """The full names of the fields that are set in a message and in those that it contains."""
    for field, value in message.ListFields():
        yield field.full_name
        if field.message_type is None or field.message_type.file.package == "google.protobuf":
            continue
        if field.message_type.GetOptions().map_entry:
            parts = [each for each in value.values() if isinstance(each, Message)]
        else:
            parts = list(value) if field.is_repeated else [value]
        for part in parts:
            yield from used_fields(part)


def messages(file: Path) -> Iterator[Message]:
    """What an API server reads of a file; unknown fields are refused here as there."""
    pipeline, platform = yaml.safe_load_all(file.read_text())
    yield json_format.ParseDict(pipeline, PipelineSpec())
    yield json_format.ParseDict(platform, PlatformSpec())
    executors: dict[str, Any] = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for settings in executors.values():
        yield json_format.ParseDict(settings, KubernetesExecutorConfig())


@pytest.mark.parametrize("release", RELEASES, ids=str)
@pytest.mark.parametrize("name", get_args(PipelineName))
def test_no_field_is_newer_than_the_release(
    name: PipelineName, release: Release, tmp_path: Path
) -> None:
    file = tmp_path / "pipeline.yaml"
    version = "{}.{}.0".format(*release)
    compile_pipeline(file, Compilation(kfp_version=version), pipeline=name)
    used = {field for message in messages(file) for field in used_fields(message)}
    assert "kfp_kubernetes.EmptyDirMount.mount_path" in used
    assert not {field for field in used if ADDED.get(field, (0, 0)) > release}


@pytest.mark.parametrize("name", get_args(PipelineName))
def test_a_loop_is_called_what_its_readers_call_it(name: PipelineName, tmp_path: Path) -> None:
    """Before 2.16 the driver keeps it under the one name, and dsl.Collected asks for the other.

    Source: backend/src/v2/compiler/argocompiler/dag.go of 2.15.0, github.com/kubeflow/pipelines
    issues 11964 and 13239.
    """
    file = tmp_path / "pipeline.yaml"
    compile_pipeline(file, pipeline=name)
    spec = next(iter(messages(file)))
    assert isinstance(spec, PipelineSpec)
    dags = [spec.root.dag, *(each.dag for each in spec.components.values())]
    loops = {
        key: task
        for dag in dags
        for key, task in dag.tasks.items()
        if task.HasField("parameter_iterator")
    }
    assert loops
    assert {key: task.task_info.name for key, task in loops.items()} == {key: key for key in loops}


@pytest.mark.parametrize("version", ["2", "newest", "2.x"])
def test_a_version_that_is_none(version: str) -> None:
    with pytest.raises(InputError, match=r"kfp_version must be a version such as 2\.15, got"):
        Compilation(kfp_version=version).check()


def test_a_version_without_the_artifacts_of_a_loop() -> None:
    with pytest.raises(InputError, match=r"2\.5\.0 cannot run this pipeline"):
        Compilation(kfp_version="2.5.0").check()
