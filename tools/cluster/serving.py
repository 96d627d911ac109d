"""The KServe controller in Standard mode: deployments and services, no Knative, no ingress."""

import base64
import json
from pathlib import Path

import certificates
from api import Object, apply, apply_text, kubectl, named, wait_for_deployment
from build import module_folder
from layout import CERTIFICATES, STORAGE_INITIALIZER, image_of
from processes import say, wait

_SPACE = "kserve"
_WEBHOOK = "kserve-webhook-server-service"
_CONTROLLER = "kserve-controller-manager"


def up() -> None:
    """Install KServe's manifests, changed where they expect cert-manager, Knative or proxies."""
    say("serving: KServe")
    config = module_folder("kserve", "github.com/kserve/kserve") / "config"
    apply_text(kubectl("kustomize", str(config / "crd")))
    established = ("wait", "--for=condition=Established", "crd", "--all", "--timeout=5s")
    wait("KServe's resource definitions", lambda: kubectl(*established))
    certificates.issue(_CONTROLLER, f"/CN={_WEBHOOK}", [f"{_WEBHOOK}.{_SPACE}.svc"])
    secret = {
        f"tls.{kind}": (CERTIFICATES / f"{_CONTROLLER}.{kind}").read_text()
        for kind in ("crt", "key")
    }
    apply(
        named("Namespace", _SPACE, None),
        named("Secret", "kserve-webhook-server-cert", _SPACE, stringData=secret),
        *_manifests(config, "rbac", "configmap", "manager"),
    )
    wait_for_deployment(_CONTROLLER, _SPACE)
    # Last: until the controller answers its webhooks, nothing else can be created.
    apply(*_manifests(config, "webhook", "storagecontainers"))


def _manifests(config: Path, *folders: str) -> list[Object]:
    items = [item for folder in folders for item in _read(config / folder)]
    return [changed for item in items if (changed := _change(item))]


def _read(folder: Path) -> list[Object]:
    """Return the objects of a folder of manifests."""
    text = kubectl("kustomize", str(folder))
    # kubectl prints concatenated JSON texts; the standard library cannot read YAML.
    command = ("create", "--namespace", _SPACE, "--dry-run=client", "--validate=false")
    text = kubectl(*command, "-o", "json", "-f", "-", text=text).strip()
    objects, decoder = [], json.JSONDecoder()
    while text:
        item, end = decoder.raw_decode(text)
        objects.append(item)
        text = text[end:].lstrip()
    return objects


def _change(item: Object) -> Object | None:
    """Return an object as this cluster needs it, or None if it does not need it."""
    kind = item["kind"]
    item["metadata"].pop("creationTimestamp", None)
    if kind == "Service" and item["metadata"]["name"] != _WEBHOOK:
        return None  # of the metrics' proxy
    if kind == "Secret":
        return None
    for subject in item.get("subjects", []):
        subject["namespace"] = _SPACE
    if kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        authority = base64.b64encode(certificates.CA.read_bytes()).decode()
        for hook in item["webhooks"]:
            hook["clientConfig"]["caBundle"] = authority
            hook["clientConfig"]["service"] |= {"name": _WEBHOOK, "namespace": _SPACE}
    if kind == "ConfigMap":
        data = item["data"]
        data.pop("_example")
        _update(data, "deploy", {"defaultDeploymentMode": "Standard"})
        # Without an ingress the endpoint's address is its service's.
        address = "{{ .Name }}-predictor.{{ .Namespace }}.{{ .IngressDomain }}"
        no_ingress = {"disableIngressCreation": True, "disableIstioVirtualHost": True}
        domain = {"domainTemplate": address, "ingressDomain": "svc.cluster.local"}
        _update(data, "ingress", no_ingress | domain)
        _update(data, "storageInitializer", {"image": STORAGE_INITIALIZER})
    if kind == "ClusterStorageContainer":
        item["spec"]["container"]["image"] = STORAGE_INITIALIZER
    if kind == "Deployment":
        (container,) = item["spec"]["template"]["spec"]["containers"]
        container |= {"image": image_of("kserve-manager"), "imagePullPolicy": "Never"}
        container |= {"command": ["kserve-manager"], "args": []}
        container["readinessProbe"] |= {"initialDelaySeconds": 0, "periodSeconds": 1}
        del container["resources"]
    return item


def _update(data: dict[str, str], key: str, values: Object) -> None:
    data[key] = json.dumps(json.loads(data[key]) | values)
