"""Talking to the cluster's API server: kubectl, and objects written as Python values."""

import json
from typing import Any

from layout import ADDRESS, BINARIES, KUBECONFIG, NAMESPACE
from processes import run, wait

Object = dict[str, Any]


def kubectl(*arguments: str, text: str | None = None, quiet: bool = False) -> str:
    """Run kubectl as the cluster's admin and return its output."""
    program, config = BINARIES / "kubectl", f"--kubeconfig={KUBECONFIG}"
    return run(program, config, *arguments, text=text, quiet=quiet)


def apply(*objects: Object) -> None:
    """Create or change objects."""
    apply_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def apply_text(text: str) -> None:
    """Create or change the objects of a YAML or JSON text; server-side, as some are large."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=text)


def wait_for_deployment(name: str, namespace: str = NAMESPACE, seconds: float = 180) -> None:
    """Wait until a deployment's pods are ready; raise ClusterError if they are not."""

    def ready() -> bool:
        status = json.loads(kubectl("get", "deployment", name, "-n", namespace, "-o", "json"))
        spec, now = status["spec"]["replicas"], status.get("status", {})
        current = now.get("observedGeneration") == status["metadata"]["generation"]
        return bool(current and now.get("updatedReplicas") == spec == now.get("readyReplicas"))

    wait(f"deployment {name} in {namespace} (kubectl describe it)", ready, seconds)


def named(kind: str, name: str, namespace: str | None = NAMESPACE, **fields: Any) -> Object:
    """Return an object of a built-in kind."""
    version = {
        "ClusterRole": "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
        "Deployment": "apps/v1",
        "EndpointSlice": "discovery.k8s.io/v1",
        "Role": "rbac.authorization.k8s.io/v1",
        "RoleBinding": "rbac.authorization.k8s.io/v1",
    }.get(kind, "v1")
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    metadata |= fields.pop("metadata", {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


def service(name: str, ports: dict[str, int]) -> Object:
    """Return a service in front of the pods labelled app=NAME; `ports` by name."""
    listed = [{"name": key, "port": port, "targetPort": port} for key, port in ports.items()]
    return named("Service", name, spec={"selector": {"app": name}, "ports": listed})


def host_service(name: str, port: int) -> list[Object]:
    """Return a service in front of a program that runs on the host."""
    listed = [{"name": "main", "port": port}]
    label = {"labels": {"kubernetes.io/service-name": name}}
    return [
        named("Service", name, spec={"ports": listed}),
        named(
            "EndpointSlice",
            f"{name}-host",
            metadata=label,
            addressType="IPv4",
            ports=listed,
            endpoints=[{"addresses": [ADDRESS], "conditions": {"ready": True}}],
        ),
    ]


def deployment(
    name: str, container: Object, account: str = "default", namespace: str = NAMESPACE, **spec: Any
) -> Object:
    """Return a deployment of one pod with one container, restarted when it stops."""
    container = {"name": name, "imagePullPolicy": "Never", **container}
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "serviceAccountName": account,
            "terminationGracePeriodSeconds": 5,
            "containers": [container],
            **spec,
        },
    }
    selector = {"matchLabels": {"app": name}}
    strategy = {"type": "Recreate"}
    whole = {"replicas": 1, "strategy": strategy, "selector": selector, "template": template}
    return named("Deployment", name, namespace, spec=whole)


def account(name: str, rules: list[Object], namespace: str = NAMESPACE) -> list[Object]:
    """Return a service account with rights in the whole cluster."""
    role = {"kind": "ClusterRole", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return [
        named("ServiceAccount", name, namespace),
        named("ClusterRole", name, None, rules=rules),
        named("ClusterRoleBinding", name, None, roleRef=role, subjects=[subject]),
    ]


def rule(groups: str, resources: str, verbs: str = "*") -> Object:
    """Return an RBAC rule; words are separated by spaces, "core" is the unnamed group."""
    named_groups = ["" if group == "core" else group for group in groups.split()]
    return {"apiGroups": named_groups, "resources": resources.split(), "verbs": verbs.split()}
