from __future__ import annotations

import pytest

from kfdet.kubeflow.hints import hint, with_hint

MESSAGES = [
    ("Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "--accelerator-"),
    ("Unschedulable: 0/1 nodes are available: 1 Insufficient amd.com/gpu. preemption", "--accel"),
    ("Unschedulable: 0/1 nodes are available: 1 Insufficient cpu.", "--training-cpu"),
    ("Unschedulable: 0/1 nodes are available: 1 Insufficient memory.", "--training-memory"),
    (
        "Unschedulable: 0/1 nodes are available: 1 node(s) had untolerated taint {gpu: yes}.",
        "--tolerations",
    ),
    (
        "Unschedulable: 0/1 nodes are available: 1 node(s) didn't match Pod's node "
        "affinity/selector.",
        "--node-selector",
    ),
    ('pods "x" is forbidden: exceeded quota: team, requested: cpu=1', "--training-cpu"),
    (
        'pods "x" is forbidden: violates PodSecurity "restricted:latest": seccompProfile (pod or '
        'container "main" must set securityContext.seccompProfile.type to "RuntimeDefault")',
        "pod-security.kubernetes.io/enforce",
    ),
    ('CreateContainerConfigError: secret "kfdet-storage" not found', "kubectl apply -k"),
    ('ErrImagePull: failed to pull image "kfdet:1": not found', "--image"),
    ("ImagePullBackOff: Back-off pulling image", "--image"),
    ("OOMKilled (exit code 137)", "raise --stage-memory"),
    ("Error (exit code 137)", "killed: out of memory or from outside"),
    ("failed to execute component: signal: killed", "out of memory or from outside"),
    ("The node was low on resource: ephemeral-storage.", "continues from the last checkpoint"),
    (
        "Pod ephemeral local storage usage exceeds the total limit of containers 8Gi.",
        "--stage-disk",
    ),
    ("pod deleted", "Submit it again"),
    ("failed to upload: NoSuchBucket", "Create the bucket"),
    ("failed to download: api error InvalidAccessKeyId:", "kfdet-storage"),
]


@pytest.mark.parametrize(
    "message", ["", "ContainerCreating", "Backoff for 15 seconds", "a.xml: no."]
)
def test_nothing_to_add(message: str) -> None:
    assert hint(message) == ""


@pytest.mark.parametrize(("message", "wanted"), MESSAGES)
def test_what_to_do(message: str, wanted: str) -> None:
    assert wanted in hint(message)
    assert with_hint(message).startswith(message.rstrip(".:"))


@pytest.mark.parametrize(
    ("message", "certain"), [("OOMKilled (exit code 137)", True), ("Error (exit code 137)", False)]
)
def test_what_gives_a_stage_more_memory(message: str, certain: bool) -> None:
    assert "--training-memory" in hint(message, "training")
    assert "--training-memory" in hint(message, "evaluation")
    assert "--batch-size" not in hint(message, "evaluation")
    assert "--training-memory" not in hint(message, "export")
    for stage in ("training", "evaluation", "export"):
        assert ("from outside" in hint(message, stage)) != certain


@pytest.mark.parametrize(("message", "sentence"), [("", ""), ("no", "no."), ("no.", "no.")])
def test_a_sentence_ends(message: str, sentence: str) -> None:
    assert with_hint(message) == sentence
