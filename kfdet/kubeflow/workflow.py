"""A run's Argo workflow as stages: which wait, run, came from the cache, ended, failed, and why.

Source of the format: WorkflowStatus and NodeStatus of Argo Workflows 4.0
(pkg/apis/workflow/v1alpha1/workflow_types.go); how KFP 2.17 compiles a task into nodes:
backend/src/v2/compiler/argocompiler/{container,dag}.go. A task `training` is a pod
`training-driver`, which asks the cache, and a node `training` with a node `executor` inside; that
is a pod, or one `executor(N)` an attempt where the task may be retried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Node = Mapping[str, Any]
State = Literal["pending", "running", "cached", "succeeded", "failed", "skipped"]

_EXECUTORS = ("system-container-executor", "retry-system-container-executor")
_DRIVERS = ("system-container-driver", "system-dag-driver")
_STATES: Mapping[str, State] = {
    "": "pending",
    "Pending": "pending",
    "Running": "running",
    "Succeeded": "succeeded",
    "Failed": "failed",
    "Error": "failed",
    "Skipped": "skipped",
    "Omitted": "skipped",
}
_WRAPPED = re.compile(r"main: (\w+) \(exit code (\d+)\)(?:: (.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class WorkflowTask:
    """One stage, for one group where it is in the loop.

    Args:
        stage: Name of its component.
        key: Its node's name, unique within the run.
        state: Its state.
        seconds: How long its last pod worked; 0 until that has ended.
        message: What its pod waits for, or why its last attempt failed; "" where neither is known.
        attempt: How many times it has been started.
        pod: Name of its last pod; "" until there is one.
    """

    stage: str
    key: str
    state: State
    seconds: float = 0.0
    message: str = ""
    attempt: int = 0
    pod: str = ""


@dataclass(frozen=True, slots=True)
class WorkflowProgress:
    """How far a run has come.

    Args:
        tasks: Its tasks in the order in which they were started.
        pods: How many pods it has used so far.
        trouble: Why something between the stages failed; "" where nothing has.
    """

    tasks: list[WorkflowTask]
    pods: int
    trouble: str


def read_workflow(workflow: Mapping[str, Any]) -> WorkflowProgress:
    """How far a workflow has come; an empty one, which is not reported yet, has no tasks."""
    name = workflow.get("metadata", {}).get("name", "")
    status = workflow.get("status", {})
    nodes: dict[str, Node] = {node["name"]: node for node in status.get("nodes", {}).values()}
    tasks = []
    for driver in nodes.values():
        if driver.get("templateName") != "system-container-driver":
            continue
        key = driver["name"].removesuffix("-driver")
        tasks.append((driver.get("startedAt") or "", key, _task(name, key, nodes)))
    pods = [n for n in nodes.values() if n.get("type") == "Pod" and _state(n) != "skipped"]
    failed_drivers = [
        plain_message(node.get("message", ""))
        for node in nodes.values()
        if node.get("templateName") == "system-dag-driver" and _state(node) == "failed"
    ]
    return WorkflowProgress(
        [task for _, _, task in sorted(tasks, key=lambda entry: entry[:2])],
        len(pods),
        next((text for text in failed_drivers if text), status.get("message", "")),
    )


def _task(workflow: str, key: str, nodes: Mapping[str, Node]) -> WorkflowTask:
    driver = nodes[f"{key}-driver"]
    stage = key.rpartition(".")[2].replace("-", "_")
    state = _state(driver)
    if state == "skipped":  # its message only says that what it needs has failed
        return WorkflowTask(stage, key, state)
    if state != "succeeded":
        return WorkflowTask(
            stage,
            key,
            "failed" if state == "failed" else "pending",
            message=plain_message(driver.get("message", "")),
            pod=_pod_name(workflow, driver),
        )
    if _output(driver, "cached-decision") == "true":
        return WorkflowTask(stage, key, "cached")
    node = nodes.get(f"{key}.executor")
    if node is None:
        return WorkflowTask(stage, key, _state(nodes[key]) if key in nodes else "pending")
    attempts = [node] if node.get("type") == "Pod" else list(_attempts(key, nodes))
    if not attempts:
        return WorkflowTask(stage, key, "pending")
    last = attempts[-1]
    state = _state(last)
    if _state(node) in ("running", "pending") and state in ("failed", "succeeded"):
        state = "pending" if state == "failed" else "running"
    return WorkflowTask(
        stage,
        key,
        state,
        seconds=_seconds(last),
        message=plain_message(last.get("message", "")),
        attempt=len(attempts),
        pod=_pod_name(workflow, last),
    )


def _attempts(key: str, nodes: Mapping[str, Node]) -> Iterator[Node]:
    number = 0
    while node := nodes.get(f"{key}.executor({number})"):
        yield node
        number += 1


def _state(node: Node) -> State:
    return _STATES.get(node.get("phase", ""), "pending")


def _output(node: Node, name: str) -> str:
    for parameter in node.get("outputs", {}).get("parameters", []):
        if parameter["name"] == name:
            return str(parameter.get("value", ""))
    return ""


def _seconds(node: Node) -> float:
    start, end = node.get("startedAt"), node.get("finishedAt")
    if not start or not end:
        return 0.0
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _pod_name(workflow: str, node: Node) -> str:
    """The name that Argo gives a node's pod (workflow/util/pod_name.go)."""
    number = node["id"].rpartition("-")[2]
    return f"{workflow}-{node['templateName']}"[:242] + f"-{number}"


def plain_message(message: str) -> str:
    """A node's message, without the container's name and exit code if it holds more than these."""
    found = _WRAPPED.fullmatch(message.strip())
    if found is None:
        return message.strip()
    reason, status, words = found.groups()
    if words:
        return str(words).strip()
    return f"{reason} (exit code {status})"


def artifact_uri(workflow: Mapping[str, Any], stage: str, name: str) -> str:
    """URI of an artifact that a stage reads or writes; "" where the workflow does not hold it."""
    return next(artifact_uris(workflow, stage, name), "")


def artifact_uris(workflow: Mapping[str, Any], stage: str, name: str) -> Iterator[str]:
    """URIs of an artifact that a stage reads or writes, one per task where it is in a loop."""
    for given in _executor_inputs(workflow, stage):
        for side in ("outputs", "inputs"):
            found = given.get(side, {}).get("artifacts", {}).get(name, {}).get("artifacts", [])
            if found:
                yield str(found[0]["uri"])
                break


def parameter_value(workflow: Mapping[str, Any], stage: str, name: str) -> Any:
    """Value of a parameter that a stage takes; None where the workflow does not hold it."""
    for given in _executor_inputs(workflow, stage):
        values = given.get("inputs", {}).get("parameterValues", {})
        if name in values:
            return values[name]
    return None


def _executor_inputs(workflow: Mapping[str, Any], stage: str) -> Iterator[dict[str, Any]]:
    """The inputs and outputs of a stage, once per group where it is in the loop.

    They are on the command line of the stage's pod, which the driver writes, except for a stage
    that comes from the cache.
    """
    for node in workflow.get("status", {}).get("nodes", {}).values():
        if node.get("displayName") != f"{stage.replace('_', '-')}-driver":
            continue
        patch = _output(node, "pod-spec-patch")
        containers = json.loads(patch).get("containers", []) if patch else []
        command = [word for container in containers for word in container.get("command", [])]
        if "--executor_input" in command:
            yield json.loads(command[command.index("--executor_input") + 1])
