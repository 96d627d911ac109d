"""The node: kubelet and kube-proxy, as programs on the host, and what they leave behind."""

import json
import os
import signal
from pathlib import Path

from api import kubectl
from certificates import CA
from layout import (
    ADDRESS,
    BINARIES,
    CONTAINERD_SOCKET,
    DNS_SERVICE,
    NODE,
    PODS,
    STATE,
)
from processes import run, say, start, wait

_KUBELET = STATE / "kubelet"


def up() -> None:
    """Start the kubelet and kube-proxy, and wait until the node accepts pods."""
    say("node: kubelet, kube-proxy")
    resolver = STATE / "resolv.conf"
    resolver.write_text("")  # pods ask the cluster's DNS, which forwards nothing
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "authentication": {"x509": {"clientCAFile": str(CA)}, "anonymous": {"enabled": False}},
        "cgroupDriver": "cgroupfs",
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        # Without a registry, an image that is removed because the host's disk is full, or that of
        # an evicted pod, cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi"},
        "failSwapOn": False,
        "healthzBindAddress": "127.0.0.1",
        "localStorageCapacityIsolation": True,
        "maxOpenFiles": 20000,
        "oomScoreAdj": 0,
        "podLogsDir": str(STATE / "pods"),
        "registerWithTaints": [],
        "resolvConf": str(resolver),
        "serializeImagePulls": False,
        "volumePluginDir": str(STATE / "volume-plugins"),
    }
    proxy = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": ADDRESS,
        "clientConnection": {"kubeconfig": str(STATE / "kube-proxy.kubeconfig")},
        "clusterCIDR": PODS,
        "conntrack": {"maxPerCore": 0, "min": 0},
        "healthzBindAddress": "127.0.0.1:10256",
        "hostnameOverride": NODE,
        "metricsBindAddress": "127.0.0.1:10249",
        "iptables": {"localhostNodePorts": False},
        "mode": "iptables",
        "nodePortAddresses": ["primary"],
        "oomScoreAdj": 0,
    }
    for name, content in {"kubelet": kubelet, "kube-proxy": proxy}.items():
        file, text = STATE / f"{name}.json", json.dumps(content, indent=1)
        if not file.exists() or file.read_text() != text:  # kube-proxy exits when the file changes
            file.write_text(text)
    start(
        "kubelet",
        [
            BINARIES / "kubelet",
            f"--config={STATE / 'kubelet.json'}",
            f"--kubeconfig={STATE / 'kubelet.kubeconfig'}",
            f"--root-dir={_KUBELET}",
            f"--cert-dir={STATE / 'kubelet-certificates'}",
            f"--hostname-override={NODE}",
            f"--node-ip={ADDRESS}",
        ],
    )
    start("kube-proxy", [BINARIES / "kube-proxy", f"--config={STATE / 'kube-proxy.json'}"])
    wait(
        "the node",
        lambda: kubectl("wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=1s"),
        log="kubelet",
    )


def clean() -> None:
    """Remove what a stopped node leaves: shims, mounts, log links and control groups."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"containerd-shim" in arguments[0] and str(CONTAINERD_SOCKET).encode() in arguments:
            os.kill(int(folder.name), signal.SIGKILL)
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed(mounts):
        if mount.startswith(f"{STATE}/"):
            run("umount", "--lazy", mount)
    for log in Path("/var/log/containers").glob("*.log"):
        if str(log.readlink()).startswith(f"{STATE}/"):
            log.unlink()
    for top in [*Path("/sys/fs/cgroup").glob("*/kubepods"), Path("/sys/fs/cgroup/kubepods")]:
        for group, _, _ in os.walk(top, topdown=False):
            os.rmdir(group)
