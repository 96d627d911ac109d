"""The cluster's own authority, its certificates, and kubeconfig files that hold them."""

import base64
import json
from pathlib import Path

from layout import ADDRESS, API_SERVER, API_SERVICE, CERTIFICATES, KUBECONFIG, NODE, STATE
from processes import run

CA = CERTIFICATES / "ca.crt"
CLIENTS = {
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "kube-proxy": "/CN=system:kube-proxy",
    "kubelet": f"/O=system:nodes/CN=system:node:{NODE}",
}


def make() -> None:
    """Make what is missing: authority, server and client certificates, kubeconfig files."""
    CERTIFICATES.mkdir(parents=True, exist_ok=True)
    CERTIFICATES.chmod(0o700)
    if not CA.exists():
        _certificate("ca", "/CN=kfdet-cluster", authority=True)
    cluster_names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    issue("apiserver", "/CN=kube-apiserver", [*cluster_names, ADDRESS, API_SERVICE])
    issue("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet")
    issue("service-accounts", "/CN=service-accounts")
    for name, subject in {"admin": "/O=system:masters/CN=admin", **CLIENTS}.items():
        issue(name, subject)
        kubeconfig(name)
    KUBECONFIG.write_bytes((STATE / "admin.kubeconfig").read_bytes())
    KUBECONFIG.chmod(0o600)


def issue(name: str, subject: str, hosts: list[str] | None = None) -> None:
    """Issue a certificate NAME.crt with key NAME.key, unless it exists."""
    if not (CERTIFICATES / f"{name}.crt").exists():
        _certificate(name, subject, hosts or [])


def kubeconfig(name: str) -> Path:
    """Write a kubeconfig file for a client certificate."""

    def data(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    file = STATE / f"{name}.kubeconfig"
    cluster = {"server": API_SERVER, "certificate-authority-data": data(CA)}
    user = {
        "client-certificate-data": data(CERTIFICATES / f"{name}.crt"),
        "client-key-data": data(CERTIFICATES / f"{name}.key"),
    }
    context = {"cluster": "kfdet", "user": name}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kfdet", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "kfdet", "context": context}],
        "current-context": "kfdet",
    }
    file.touch(mode=0o600)
    file.write_text(json.dumps(content, indent=1))
    return file


def _certificate(
    name: str, subject: str, hosts: list[str] | None = None, authority: bool = False
) -> None:
    key, certificate = CERTIFICATES / f"{name}.key", CERTIFICATES / f"{name}.crt"
    extensions = ["-addext", "basicConstraints=critical,CA:TRUE"] if authority else []
    if hosts:
        names = ",".join(f"{'IP' if host[0].isdigit() else 'DNS'}:{host}" for host in hosts)
        extensions += ["-addext", f"subjectAltName={names}"]
    signer = [] if authority else ["-CA", str(CA), "-CAkey", str(CA.with_suffix(".key"))]
    run(
        *("openssl", "req", "-x509", "-days", "3650", "-nodes", "-subj", subject),
        *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-keyout", str(key), "-out", str(certificate), *signer, *extensions),
    )
