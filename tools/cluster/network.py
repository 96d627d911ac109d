"""The bridge that pods and the host's servers share, and the kernel settings it needs."""

import json
from pathlib import Path

from layout import ADDRESS, BRIDGE, PODS, STATE
from processes import run, say

SETTINGS = {
    "net/ipv4/ip_forward": "1",
    # Replies between two pods cross the bridge, where their addresses are translated back.
    "net/bridge/bridge-nf-call-iptables": "1",
    # Set by the kubelet; listed to be restored.
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
}
_BEFORE = STATE / "sysctl.json"
_CNI_NAME = "kfdet-cluster"


def up() -> None:
    """Create the bridge and the pods' network configuration; change the kernel's settings."""
    say(f"network: bridge {BRIDGE} at {ADDRESS}")
    if not Path(f"/sys/class/net/{BRIDGE}").exists():
        run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "replace", f"{ADDRESS}/{PODS.split('/')[1]}", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    run("modprobe", "br_netfilter", quiet=True)  # on some kernels it is built in
    files = {name: Path("/proc/sys") / name for name in SETTINGS}
    if not _BEFORE.exists():
        _BEFORE.write_text(json.dumps({name: file.read_text() for name, file in files.items()}))
    for name, file in files.items():
        file.write_text(SETTINGS[name])
    configuration = {
        "cniVersion": "1.0.0",
        "name": _CNI_NAME,
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE,
                "isGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(STATE / "cni-addresses"),
                    "ranges": [[{"subnet": PODS, "gateway": ADDRESS}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }
    folder = STATE / "cni"
    folder.mkdir(exist_ok=True)
    (folder / f"{_CNI_NAME}.conflist").write_text(json.dumps(configuration))


def down() -> None:
    """Undo `up`, and remove the services' rules and the pods' network namespaces."""
    prefix = PODS.rsplit(".", 1)[0]
    for namespace in Path("/run/netns").glob("cni-*"):
        if f"inet {prefix}." in run("ip", "-n", namespace.name, "address", quiet=True):
            run("ip", "netns", "delete", namespace.name)
    run("ip", "link", "delete", BRIDGE, quiet=True)
    for command in ("iptables", "ip6tables"):
        rules = run(f"{command}-save")
        kept = [line for line in rules.splitlines() if "KUBE-" not in line]
        if len(kept) != len(rules.splitlines()):
            run(f"{command}-restore", text="\n".join([*kept, ""]))
    if _BEFORE.exists():
        for name, value in json.loads(_BEFORE.read_text()).items():
            (Path("/proc/sys") / name).write_text(value)
