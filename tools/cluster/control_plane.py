"""etcd, API server, controller manager and scheduler, as programs on the host."""

from api import kubectl
from certificates import CA
from layout import ADDRESS, BINARIES, CERTIFICATES, PODS, SERVICES, STATE
from processes import say, start, wait


def up() -> None:
    """Start the control plane and wait until it answers."""
    say("control plane: etcd, API server, controller manager, scheduler")
    etcd = "http://127.0.0.1:2379"
    start(
        "etcd",
        [
            BINARIES / "etcd",
            f"--data-dir={STATE / 'etcd'}",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            # Nothing here outlives the machine, and flushing each write is slow.
            "--unsafe-no-fsync",
        ],
    )
    accounts = CERTIFICATES / "service-accounts"
    start(
        "kube-apiserver",
        [
            BINARIES / "kube-apiserver",
            f"--etcd-servers={etcd}",
            f"--bind-address={ADDRESS}",
            f"--advertise-address={ADDRESS}",
            f"--service-cluster-ip-range={SERVICES}",
            "--allow-privileged",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--client-ca-file={CA}",
            f"--tls-cert-file={CERTIFICATES / 'apiserver.crt'}",
            f"--tls-private-key-file={CERTIFICATES / 'apiserver.key'}",
            f"--kubelet-client-certificate={CERTIFICATES / 'apiserver-kubelet.crt'}",
            f"--kubelet-client-key={CERTIFICATES / 'apiserver-kubelet.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={accounts}.crt",
            f"--service-account-signing-key-file={accounts}.key",
        ],
    )
    wait("the API server", lambda: kubectl("get", "--raw=/readyz") == "ok", log="kube-apiserver")
    start(
        "kube-controller-manager",
        [
            BINARIES / "kube-controller-manager",
            f"--kubeconfig={STATE / 'controller-manager.kubeconfig'}",
            f"--service-account-private-key-file={accounts}.key",
            f"--root-ca-file={CA}",
            "--use-service-account-credentials",
            f"--cluster-cidr={PODS}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ],
    )
    start(
        "kube-scheduler",
        [
            BINARIES / "kube-scheduler",
            f"--kubeconfig={STATE / 'scheduler.kubeconfig'}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ],
    )
    wait(
        "the controller manager",
        lambda: kubectl("get", "serviceaccount", "default"),
        log="kube-controller-manager",
    )
