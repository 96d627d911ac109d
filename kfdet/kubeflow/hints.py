"""What a user can do about a pod that does not start or was ended from outside.

The messages of kfdet's own stages hold their remedy; these are for the messages of Kubernetes.
"""

from __future__ import annotations

import re

_KILLED = r"exit (code|status) 137|signal: killed"
"""A SIGKILL: the container's, or that of the process which KFP's launcher has started."""

_OWN_HINTS: dict[str, tuple[tuple[str, str], ...]] = {
    stage: (
        (
            r"OOMKilled",
            f"It exceeded its memory limit: raise --training-memory, or lower {others}.",
        ),
        (
            _KILLED,
            "It was killed: out of memory or from outside. If it was memory, raise "
            f"--training-memory, or lower {others}.",
        ),
    )
    for stage, others in (
        ("training", "--batch-size or --longest-side"),
        ("evaluation", "--longest-side"),
    )
}
"""Of the stages whose memory --training-memory sets."""

_HINTS = (
    (
        r"exceeded quota",
        "It waits until there is room in the namespace's ResourceQuota (kubectl describe "
        "quota): raise the quota, or lower --training-cpu or --training-memory.",
    ),
    (
        r"violates PodSecurity",
        "The namespace's label pod-security.kubernetes.io/enforce forbids what Argo's or kfdet's "
        "pods need: set it to a policy that allows it, such as baseline (kubectl label "
        "--overwrite namespace), or run in another namespace.",
    ),
    (
        r"Unschedulable.*Insufficient \S*(gpu|tpu|/)",
        "No node has such an accelerator free: lower --accelerator-count (0 trains on the CPU), "
        "name another --accelerator-type, or wait until one is free.",
    ),
    (
        r"Unschedulable.*Insufficient (cpu|memory|ephemeral-storage)",
        "No node has that much free: lower --training-cpu or --training-memory, for other stages "
        "--stage-disk, or wait.",
    ),
    (
        r"Unschedulable.*untolerated taint",
        "The suitable nodes are reserved by taints: name these with --tolerations for training and "
        "evaluation, with --stage-tolerations for the other stages.",
    ),
    (
        r"Unschedulable.*(node selector|affinity)",
        "No node has these labels: compare --node-selector (training and evaluation) and "
        "--stage-node-selector (other stages) with `kubectl get nodes --show-labels`.",
    ),
    (
        r'secret "[^"]+" not found|couldn\'t find key',
        "Create what manifests/ describes in the namespace of the runs: kubectl apply -k "
        "manifests/overlays/standalone.",
    ),
    (
        r"ErrImage|ImagePull|InvalidImageName|failed to pull",
        "The nodes cannot pull the image: push it to a registry that they reach, and name it with "
        "--image and --training-image.",
    ),
    (
        r"OOMKilled",
        "It used more memory than its limit or its node has: raise --stage-memory, or lower "
        "--longest-side.",
    ),
    (
        _KILLED,
        "It was killed: out of memory or from outside.",
    ),
    (
        r"exceeds the total limit of containers|ephemeral local storage usage",
        "It needs more disk: raise --stage-disk, or give it a volume with --scratch-size.",
    ),
    (
        r"^pod deleted",
        "It was deleted or its node was drained, which Argo retries only with "
        "ARGO_POD_STATUS_CAPTURE_FINALIZER=true in its controller. Submit it again: it "
        "continues from the last checkpoint.",
    ),
    (
        r"evict|low on resource|node was|preempt|exit code 143",
        "The node evicted it; a retry continues from the last checkpoint.",
    ),
    (
        r"NoSuchBucket|bucket does not exist",
        "Create the bucket: kubectl apply -k manifests/overlays/standalone does.",
    ),
    (
        r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|Access Key Id",
        "The object store rejects the credentials: compare the Secret of the namespace "
        "(kubectl get secret kfdet-storage) with the store's.",
    ),
)


def hint(message: str, stage: str = "") -> str:
    """What to do about the message of a pod or a node; "" if there is nothing to add."""
    for pattern, text in (*_OWN_HINTS.get(stage, ()), *_HINTS):
        if re.search(pattern, message, re.IGNORECASE | re.DOTALL):
            return text
    return ""


def with_hint(message: str, stage: str = "") -> str:
    """The message and what to do about it, as sentences."""
    sentence = message.rstrip(" \n:")
    if sentence and sentence[-1] not in ".!?":
        sentence += "."
    return f"{sentence} {hint(message, stage)}".strip()
