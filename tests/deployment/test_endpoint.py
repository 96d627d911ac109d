from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from kfdet.cluster import names
from kfdet.cluster.api import Manifest
from kfdet.cluster.parameters import SERVING_DEFAULTS
from kfdet.deployment.capacity import first_capacity
from kfdet.deployment.endpoint import Canary, Mode, Refusal, Release, Serving, check_name
from kfdet.deployment.inference_service import build, is_managed, read
from kfdet.detection.thresholds import Thresholds
from kfdet.errors import InputError, KfdetError

FIRST = Release("111111111111", "s3://kfdet/models/toys/111111111111", {"AP": 0.5, "AP50": 0.9})
SECOND = Release(
    "222222222222", "s3://kfdet/models/toys/222222222222", {"AP50": 0.95}, start="coco"
)
THIRD = Release("333333333333", "s3://kfdet/models/toys/333333333333")


FOURTH = Release(
    "444444444444",
    "s3://x/4",
    {},
    Thresholds(0.4, {"mug": 0.3}),
    "imagenet",
    {"difference": 0.03, "interval": [0.01, 0.05]},
    run="run-1",
    dataset="0123",
    runtime="an-older-one",
)


def model(release: Release) -> Manifest:
    return {
        "modelFormat": {"name": "tensorflow", "version": "2"},
        "protocolVersion": "v1",
        "runtime": names.RUNTIME,
        "storageUri": release.storage_uri,
    }


PORTS = [
    {"name": "http", "containerPort": 8080, "protocol": "TCP"},
    {"name": "grpc", "containerPort": 9000, "protocol": "TCP"},
]
STRATEGY = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def test_the_first_version_golden() -> None:
    capacity = first_capacity(SERVING_DEFAULTS, standard=True)
    assert build("toys", "kubeflow", Serving(FIRST), "Standard", capacity) == {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": "toys",
            "namespace": "kubeflow",
            "labels": {"app.kubernetes.io/managed-by": "kfdet"},
            "annotations": {
                "kfdet.io/version": "111111111111",
                "kfdet.io/storage-uri": "s3://kfdet/models/toys/111111111111",
                "kfdet.io/metrics": '{"AP":0.5,"AP50":0.9}',
                "kfdet.io/runtime": names.RUNTIME,
                "serving.kserve.io/deploymentMode": "Standard",
                "serving.kserve.io/autoscalerClass": "none",
            },
        },
        "spec": {
            "predictor": {
                "serviceAccountName": "kfdet-serving",
                "model": {**model(FIRST), "ports": PORTS},
                "deploymentStrategy": STRATEGY,
            }
        },
    }


CANARY_FIELDS = (
    f'{{"metrics":{{"AP50":0.95}},"runtime":"{names.RUNTIME}","start":"coco",'
    '"storageUri":"s3://kfdet/models/toys/222222222222","version":"222222222222"}'
)
CANARY_GOLDEN: dict[Mode, dict[str, Any]] = {
    "Standard": {
        "predictor": {
            "serviceAccountName": "kfdet-serving",
            "model": {**model(FIRST), "ports": PORTS},
            "deploymentStrategy": STRATEGY,
        },
        "canary": [
            {
                "trafficPercent": 10,
                "predictor": {
                    "name": "v222222222222",
                    "serviceAccountName": "kfdet-serving",
                    "model": {**model(SECOND), "ports": PORTS, "name": "kserve-container"},
                    "deploymentStrategy": STRATEGY,
                    "annotations": {"kfdet.io/canary": CANARY_FIELDS},
                },
            }
        ],
    },
    "Knative": {
        "predictor": {
            "serviceAccountName": "kfdet-serving",
            "model": model(SECOND),
            "canaryTrafficPercent": 10,
        }
    },
}


@pytest.mark.parametrize("mode", CANARY_GOLDEN)
def test_a_canary_golden(mode: Mode) -> None:
    manifest = build("toys", "kubeflow", Serving(FIRST).with_canary(SECOND, 10), mode)
    assert manifest["spec"] == CANARY_GOLDEN[mode]
    annotations = manifest["metadata"]["annotations"]
    assert annotations["kfdet.io/version"] == FIRST.version
    # one of the InferenceService would restart the pods of FIRST, too
    assert annotations.get("kfdet.io/canary") == (CANARY_FIELDS if mode == "Knative" else None)


SERVINGS = {
    "first": Serving(FIRST),
    "second": Serving(SECOND, FIRST),
    "canary": Serving(SECOND, FIRST, Canary(THIRD, 99)),
    "thresholds": Serving(FOURTH, FOURTH, Canary(FOURTH, 1)),
}


@pytest.mark.parametrize("mode", ["Standard", "RawDeployment", "Knative", "Serverless"])
@pytest.mark.parametrize("serving", SERVINGS.values(), ids=SERVINGS)
def test_what_is_built_is_read_back(serving: Serving, mode: Mode) -> None:
    manifest = build("toys", "kubeflow", serving, mode)
    endpoint = read(manifest)
    assert endpoint.serving == serving
    assert (endpoint.name, endpoint.namespace, endpoint.ready) == ("toys", "kubeflow", False)
    assert is_managed(manifest)


def test_the_status_is_read() -> None:
    manifest = build("toys", "kubeflow", Serving(FIRST), "Standard")
    manifest["metadata"]["creationTimestamp"] = "2026-01-02T03:04:05Z"
    manifest["status"] = {
        "deploymentMode": "RawDeployment",
        "url": "http://toys.example.com",
        "address": {"url": "http://toys-predictor.kubeflow.svc.cluster.local"},
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    endpoint = read(manifest)
    assert endpoint.ready
    assert endpoint.mode == "RawDeployment"
    assert endpoint.url == "http://toys.example.com"
    assert endpoint.address == "http://toys-predictor.kubeflow.svc.cluster.local"
    assert endpoint.refused is None


@pytest.mark.parametrize("current", [FIRST, SECOND], ids=["compared", "another since"])
def test_a_refusal_counts_while_the_same_version_serves(current: Release) -> None:
    refusal = Refusal("222222222222", FIRST.version, "Worse.", {"difference": -0.1})
    manifest = build("toys", "kubeflow", Serving(current), "Standard")
    manifest["status"] = {"annotations": {names.REFUSED: json.dumps(asdict(refusal))}}
    assert read(manifest).refused == (refusal if current is FIRST else None)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (names.VERSION, None),
        (names.STORAGE_URI, None),
        (names.METRICS, "{"),
        (names.PREVIOUS, '{"version": "1"}'),
        (names.CANARY, '"5 %"'),
    ],
)
def test_damaged_annotations(annotation: str, value: str | None) -> None:
    manifest = build("toys", "kubeflow", SERVINGS["canary"], "Knative")
    annotations = manifest["metadata"]["annotations"]
    del annotations[annotation]
    if value is not None:
        annotations[annotation] = value
    with pytest.raises(KfdetError, match="InferenceService toys: an annotation of kfdet"):
        read(manifest)


def test_somebody_elses_service_is_not_managed() -> None:
    assert not is_managed({"metadata": {"name": "toys"}})


def test_versions_follow_each_other() -> None:
    serving = Serving(FIRST).promoted(SECOND)
    assert serving == Serving(SECOND, FIRST)
    assert serving.promoted(SECOND) == serving, "a repeated deployment forgets nothing"
    assert serving.rolled_back("toys") == Serving(FIRST, SECOND)
    assert serving.rolled_back("toys").rolled_back("toys") == serving
    trial = serving.with_canary(THIRD, 5)
    assert trial.rolled_back("toys") == serving
    assert trial.promoted(THIRD) == Serving(THIRD, SECOND)


def test_nothing_before_the_first_version() -> None:
    with pytest.raises(InputError, match="version 111111111111 of toys is its first"):
        Serving(FIRST).rolled_back("toys")


@pytest.mark.parametrize("name", ["a", "toys", "toys-2", "a" * names.LONGEST_NAME])
def test_good_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Toys",
        "2toys",
        "toys-",
        "to_ys",
        "toys.eu",
        "a" * (names.LONGEST_NAME + 1),
        "toys-candidate",
    ],
)
def test_bad_names(name: str) -> None:
    with pytest.raises(InputError, match=f'"{name}"'):
        check_name(name)


def test_the_longest_names_fit_into_dns_labels() -> None:
    longest = "a" * names.LONGEST_NAME
    assert len(f"{longest}{names.CANDIDATE_SUFFIX}-predictor-00001") <= 63
    assert len(f"{longest}-v{FIRST.version}-predictor") <= 63
