from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from support.cluster_runs import DATASET, NAME, submit
from support.command_line import kfdet_on_cluster as kfdet

from kfdet.cluster.connection import connect as connect_cluster
from kfdet.cluster.names import NAMESPACE
from kfdet.demo.sample import make_sample
from kfdet.kubeflow.backend import Backend, connect_backend


@pytest.fixture(scope="session")
def core() -> Any:
    """Kubernetes's core API, with the rights of the kubeconfig."""
    from kubernetes import client, config

    config.load_kube_config()
    return client.CoreV1Api()


@pytest.fixture(scope="session")
def backend() -> Backend:
    return connect_backend(os.environ.get("KFDET_KFP_HOST", ""))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("sample") / "dataset"
    make_sample(folder)
    done = kfdet("upload", str(folder), DATASET)
    assert done.returncode == 0, done.stderr
    return DATASET


@pytest.fixture(scope="session")
def first(dataset: str) -> Iterator[dict[str, Any]]:
    """A run that deploys."""
    assert dataset == DATASET
    yield submit("--endpoint", NAME)
    connect_cluster(NAMESPACE).delete(NAME)
