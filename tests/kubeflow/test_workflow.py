from __future__ import annotations

from typing import Any

import pytest
from support.workflow_samples import (
    NAME,
    START,
    cached,
    driver,
    node,
    patch,
    ran,
    workflow,
)

from kfdet.kubeflow.workflow import artifact_uri, parameter_value, plain_message, read_workflow

GPU = "Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
ERROR = "main: Error (exit code 1): minio://a/b: there are no objects. Check bucket and key."


@pytest.mark.parametrize("manifest", [{}, {"status": {}}, {"metadata": {"name": NAME}}])
def test_nothing_is_known_before_the_first_report(manifest: dict[str, Any]) -> None:
    progress = read_workflow(manifest)
    assert (progress.tasks, progress.pods, progress.trouble) == ([], 0, "")


STATES = [
    (cached("root.export"), "cached", 0.0, "", 0),
    ([driver("root.export", "Pending")], "pending", 0.0, "", 0),
    ([driver("root.export", "Running")], "pending", 0.0, "", 0),
    ([driver("root.export", cached_decision="false")], "pending", 0.0, "", 0),
    (
        [node("root.export-driver", "system-container-driver", "Omitted", message="omitted: a")],
        *("skipped", 0.0, "", 0),
    ),
    (ran("root.export"), "succeeded", 12.0, "", 1),
    (ran("root.export", {"phase": "Running"}, phase="Running"), "running", 0.0, "", 1),
    (
        ran("root.export", {"phase": "Pending", "message": GPU}, phase="Running"),
        *("pending", 0.0, GPU, 1),
    ),
    (
        ran("root.export", {"phase": "Failed", "message": ERROR}, phase="Running"),
        *("pending", 12.0, "minio://a/b: there are no objects. Check bucket and key.", 1),
    ),
    (
        ran(
            "root.export",
            {"phase": "Failed", "message": ERROR},
            {"phase": "Running"},
            phase="Running",
        ),
        *("running", 0.0, "", 2),
    ),
    (
        ran("root.export", *[{"phase": "Failed", "message": ERROR}] * 3, phase="Failed"),
        *("failed", 12.0, "minio://a/b: there are no objects. Check bucket and key.", 3),
    ),
    (
        [
            driver("root.export", cached_decision="false"),
            node("root.export", "system-container-executor", "Running", "DAG"),
            node("root.export.executor", "system-container-impl", "Running"),
        ],
        *("running", 0.0, "", 1),
    ),
]


@pytest.mark.parametrize(("nodes", "state", "seconds", "message", "attempt"), STATES)
def test_the_state_of_a_stage(
    nodes: list[dict[str, Any]], state: str, seconds: float, message: str, attempt: int
) -> None:
    (task,) = read_workflow(workflow(*nodes)).tasks
    assert task.stage == "export"
    assert (task.state, task.seconds, task.message, task.attempt) == (
        *(state, seconds, message, attempt),
    )


def test_stages_are_in_the_order_of_their_start() -> None:
    early, late = driver("root.tfrecord-build"), driver("root.export")
    early["startedAt"], late["startedAt"] = START, START.replace("09", "10")
    stages = [task.stage for task in read_workflow(workflow(late, early)).tasks]
    assert stages == ["tfrecord_build", "export"]


def test_every_group_of_the_loop_is_a_task() -> None:
    loop = "root.for-loop-1.iteration-item({}:{}).iteration-iteration"
    nodes = [n for i in range(3) for n in ran(f"{loop.format(i, i)}.interpolation")]
    assert [task.stage for task in read_workflow(workflow(*nodes)).tasks] == ["interpolation"] * 3


def test_pods_are_counted_with_every_attempt() -> None:
    nodes = [
        *ran("root.training", {"phase": "Failed"}, {"phase": "Succeeded"}),
        *cached("root.export"),
    ]
    assert read_workflow(workflow(*nodes)).pods == 1 + (1 + 2) + 1


def test_the_pod_has_argos_name() -> None:
    nodes = ran("root.training", {"phase": "Failed"}, {"phase": "Running"}, phase="Running")
    (task,) = read_workflow(workflow(*nodes)).tasks
    number = nodes[-1]["id"].rpartition("-")[2]
    assert task.pod == f"{NAME}-retry-system-container-impl-{number}"


def test_trouble_between_the_stages() -> None:
    failed = node("root-driver", "system-dag-driver", "Failed", message="main: Error (exit code 1)")
    assert read_workflow(workflow(failed)).trouble == "Error (exit code 1)"
    assert read_workflow(workflow(message="invalid spec")).trouble == "invalid spec"


MESSAGES = [
    ("", ""),
    ("main: Error (exit code 1): a\nb", "a\nb"),
    ("main: OOMKilled (exit code 137)", "OOMKilled (exit code 137)"),
    ("Pod was evicted", "Pod was evicted"),
    ("init: Error (exit code 64): no", "init: Error (exit code 64): no"),
]


@pytest.mark.parametrize(("message", "plain"), MESSAGES)
def test_plain_message(message: str, plain: str) -> None:
    assert plain_message(message) == plain


def test_where_an_artifact_lies() -> None:
    given = workflow(
        driver("root.export"),
        driver("root.evaluation", pod_spec_patch=patch(outputs={"metrics": "minio://a/metrics"})),
        driver(
            "root.condition-2.condition-3.deployment",
            pod_spec_patch=patch(inputs={"metrics": "minio://b/metrics"}),
        ),
    )
    assert artifact_uri(given, "evaluation", "metrics") == "minio://a/metrics"
    assert artifact_uri(given, "deployment", "metrics") == "minio://b/metrics"
    assert artifact_uri(given, "evaluation", "report") == ""
    assert artifact_uri(given, "export", "saved_model") == ""
    assert artifact_uri({}, "export", "saved_model") == ""


def test_what_a_stage_was_given() -> None:
    given = workflow(
        *cached("root.export"),
        driver("root.planning", pod_spec_patch=patch(fingerprint="f1", seed=0)),
    )
    assert parameter_value(given, "planning", "fingerprint") == "f1"
    assert parameter_value(given, "planning", "seed") == 0
    assert parameter_value(given, "planning", "other") is None
    assert parameter_value(given, "export", "seed") is None
