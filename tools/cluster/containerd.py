"""containerd, with its own socket; its store outlives the cluster, so that images are kept."""

from pathlib import Path

from layout import CONTAINERD_ROOT, CONTAINERD_SOCKET, LOGS, STATE, image_of
from processes import run, start, wait


def up() -> None:
    """Start containerd with its own configuration, socket and store."""
    configuration = STATE / "containerd.toml"
    pause = image_of("pause")
    # restrict_oom_score_adj: root cannot always protect a process from the out-of-memory killer.
    configuration.write_text(f"""version = 2
root = "{CONTAINERD_ROOT}"
state = "{STATE}/containerd"
[grpc]
address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{STATE}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
""")
    start("containerd", ["containerd", "--config", configuration])
    wait("containerd", lambda: ctr("version"), log="containerd")
    wait("containerd's runtime interface", _serves_kubelet, log="containerd")


def _serves_kubelet() -> bool:
    """Return whether the part that the kubelet talks to, the last one, has started."""
    log = (LOGS / "containerd.log").read_text(errors="replace")
    return "Start streaming server" in log.rpartition("starting containerd")[2]


def ctr(*arguments: str | Path, quiet: bool = False) -> str:
    """Run containerd's client on the images and containers of Kubernetes."""
    address = ("--address", CONTAINERD_SOCKET)
    return run("ctr", *address, "--namespace", "k8s.io", *arguments, quiet=quiet)


def remove_containers() -> None:
    """Stop every container of the cluster; containerd must be running, the kubelet must not."""
    for line in ctr("tasks", "list").splitlines()[1:]:
        ctr("tasks", "delete", "--force", line.split()[0], quiet=True)  # complains, yet does it
    for name in ctr("containers", "list", "--quiet").split():
        ctr("containers", "delete", name, quiet=True)
        for result in Path("/var/lib/cni/results").glob(f"*-{name}-*"):
            result.unlink()
