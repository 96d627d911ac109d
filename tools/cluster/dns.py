"""CoreDNS, which resolves the names of services for the pods."""

from api import account, apply, deployment, named, rule, wait_for_deployment
from layout import DNS_SERVICE, image_of
from processes import say

_PORT = 1053
"""An unprivileged port; the service maps the usual one to it."""
# It resolves nothing else: the cluster has no way out.
_COREFILE = f""".:{_PORT} {{
    errors
    ready 0.0.0.0:8181
    kubernetes cluster.local in-addr.arpa ip6.arpa
}}
"""


def up() -> None:
    """Deploy CoreDNS and wait until it answers."""
    say("DNS: CoreDNS")
    space = "kube-system"
    container = {
        "image": image_of("coredns"),
        "args": ["-conf", "/etc/coredns/Corefile"],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
    }
    volumes = [{"name": "config", "configMap": {"name": "coredns"}}]
    ports = [
        {"name": name.lower(), "protocol": name, "port": 53, "targetPort": _PORT}
        for name in ("UDP", "TCP")
    ]
    rules = [
        rule("core", "services namespaces pods endpoints", "list watch"),
        rule("discovery.k8s.io", "endpointslices", "list watch"),
    ]
    spec = {"clusterIP": DNS_SERVICE, "selector": {"app": "coredns"}, "ports": ports}
    apply(
        *account("coredns", rules, space),
        named("ConfigMap", "coredns", space, data={"Corefile": _COREFILE}),
        deployment("coredns", container, "coredns", space, volumes=volumes),
        named("Service", "coredns", space, spec=spec),
    )
    wait_for_deployment("coredns", space)
