"""Build a real Kubernetes cluster of one node on a bare machine, without Docker or a registry.

python3 tools/cluster up               build what is missing, start what is not running
python3 tools/cluster load IMAGE...    put images from buildah's store on the node
python3 tools/cluster down [--cache]   stop and remove everything; --cache: the builds, too

Kubernetes, etcd, CoreDNS, MinIO, Argo Workflows, Kubeflow Pipelines and KServe are built from their
sources (go/), which takes Go, root, a Debian machine and, the first time, an hour. `up` ends with
the project's own images and manifests (overlay/) on the cluster, and prints which file a shell
sources to reach it. Builds are kept in ~/.cache/kfdet-cluster (KFDET_CLUSTER_CACHE), everything
else in /var/lib/kfdet-cluster (KFDET_CLUSTER_STATE). KFDET_CLUSTER_KFP is the version of Kubeflow
Pipelines; remove a cluster before you start one with another version.
"""

import argparse
import os
import shutil
import sys
import time

import backend
import build
import certificates
import containerd
import control_plane
import database
import dns
import images
import metadata
import network
import node
import object_store
import processes
import project
import serving
from api import apply, named
from layout import (
    CACHE,
    HERE,
    KFP_PROGRAMS,
    LOGS,
    NAMESPACE,
    STATE,
    STORAGE_INITIALIZER,
)
from processes import ClusterError, say


def up() -> None:
    """Start every part of the cluster that is not running yet."""
    begin = time.monotonic()
    missing = build.up()
    STATE.mkdir(parents=True, exist_ok=True)
    network.up()
    certificates.make()
    control_plane.up()
    containerd.up()
    for program in ("pause", "coredns", "minio"):
        images.load_program(program)
    images.build_base()
    node.up()
    dns.up()
    apply(named("Namespace", NAMESPACE, None))
    object_store.up()
    if not {"kfp", "argo"} & set(missing):
        for program in (*backend.WORKFLOW_PROGRAMS, *KFP_PROGRAMS):
            images.load_program(program)
        database.up()
        metadata.up()
        backend.up()
    if "kserve" not in missing:
        images.load_program("kserve-manager")
        images.build(STORAGE_INITIALIZER, HERE / "storage-initializer")
        images.load(STORAGE_INITIALIZER)
        serving.up()
    if dead := [name for name in processes.running() if not processes.alive(name)]:
        raise ClusterError(f"stopped again: {', '.join(dead)}; see {LOGS}")
    project.load_images()
    project.load_minio()
    if "kserve" not in missing:
        project.apply_manifests()
    if missing:
        say(f"without {', '.join(missing)}, which could not be built: see above")
    say(f"the cluster is up after {time.monotonic() - begin:.0f} s")


def down(cache: bool) -> None:
    """Stop everything that the cluster runs and remove what it left on the machine."""
    if STATE.exists():
        say("removing the cluster")
        processes.stop("kubelet")
        if processes.alive("containerd"):
            containerd.remove_containers()
        for name in processes.running():
            processes.stop(name)
        node.clean()
        network.down()
        shutil.rmtree(STATE)
    if cache:
        say(f"removing {CACHE}")
        shutil.rmtree(CACHE, ignore_errors=True)


def main() -> int:
    """Run the command line; return 0, or 1 if a part did not start."""
    parser = argparse.ArgumentParser(
        prog="tools/cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up")
    commands.add_parser("load").add_argument("images", nargs="+")
    commands.add_parser("down").add_argument("--cache", action="store_true")
    options = parser.parse_args()
    if os.geteuid():
        say("a node needs root: sudo -E make cluster")
        return 1
    try:
        if options.command == "up":
            up()
        elif options.command == "down":
            down(options.cache)
        else:
            for image in options.images:
                images.load(image)
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
