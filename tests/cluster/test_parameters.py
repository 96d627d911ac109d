from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kfdet.cluster.parameters import ClusterParameters, parse_quantity
from kfdet.errors import InputError
from kfdet.pipelines.compilation import Compilation


def test_the_defaults_ask_for_nothing_special() -> None:
    arguments = ClusterParameters().arguments("toys")
    assert arguments["accelerator_count"] == "0"
    assert arguments["node_selector"] == {"kubernetes.io/arch": "amd64"}  # as the images
    assert arguments["tolerations"] == []
    assert arguments["endpoint"] == ""


def test_what_has_no_place_is_kept_in_the_datasets_bucket() -> None:
    arguments = ClusterParameters(model_root="s3://models/mine").arguments("toys")
    assert arguments["model_root"] == "s3://models/mine"
    assert arguments["checkpoint_root"] == "minio://toys/checkpoints"
    assert arguments["tensorboard_root"] == "minio://toys/tensorboard"


def test_json_becomes_what_it_says() -> None:
    arguments = ClusterParameters(
        accelerator_count=2, node_selector='{"gpu": "a100"}', tolerations='[{"key": "gpu"}]'
    ).arguments("toys")
    assert arguments["accelerator_count"] == "2"
    assert arguments["node_selector"] == {"gpu": "a100"}
    assert arguments["tolerations"] == [{"key": "gpu"}]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"node_selector": ""}, "node_selector must be JSON, got ''"),
        ({"node_selector": "gpu=yes"}, "node_selector must be JSON, got 'gpu=yes'"),
        ({"node_selector": "[]"}, "node_selector must be an object of texts, got"),
        ({"node_selector": '{"gpu": 1}'}, "node_selector must be an object of texts, got"),
        ({"tolerations": '["gpu"]'}, "tolerations must be a list of objects, got"),
        ({"tolerations": "1"}, "tolerations must be a list of objects, got"),
        ({"tolerations": "{}"}, "tolerations must be a list of objects, got"),
    ],
)
def test_what_is_not_that_json(given: dict[str, Any], message: str) -> None:
    parameters = ClusterParameters(**given)
    for refuses in (lambda: parameters.arguments("toys"), parameters.check):
        with pytest.raises(InputError) as error:
            refuses()
        assert message in str(error.value)


QUANTITIES = ["0", "2", "1.5", ".5", "500m", "4Gi", "4G", "128k", "1e9", "1E", "1e+3"]


@pytest.mark.parametrize("size", QUANTITIES)
def test_quantities(size: str) -> None:
    ClusterParameters(training_cpu=size, training_cpu_limit=size, training_memory=size).check()
    Compilation(shared_memory=size).check()


@pytest.mark.parametrize(
    "size", ["", "lots", "8GB", "4K", "4gi", "4 Gi", "-1", "inf", "1_000", "."]
)
def test_what_is_not_a_quantity(size: str) -> None:
    for parameters, name in (
        (ClusterParameters(training_cpu=size), "training_cpu"),
        (ClusterParameters(training_memory=size), "training_memory"),
        (Compilation(shared_memory=size), "shared_memory"),
    ):
        with pytest.raises(InputError, match=f"{name} must be a quantity .*, got '.*'. Write for"):
            parameters.check()


@pytest.mark.parametrize("root", ["", "minio://kfdet", "s3://kfdet/a/b"])
def test_roots(root: str) -> None:
    ClusterParameters(model_root=root, checkpoint_root=root, tensorboard_root=root).check()


@pytest.mark.parametrize("root", ["/tmp/x", "gs://kfdet/a", "minio://", "kfdet"])  # noqa: S108
@pytest.mark.parametrize("name", ["model_root", "checkpoint_root", "tensorboard_root"])
def test_what_is_not_a_bucket_path(name: str, root: str) -> None:
    with pytest.raises(
        InputError, match=f"{name} must be a bucket path, got .*(Write minio|write s3)://"
    ):
        ClusterParameters(**{name: root}).check()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"canary_percent": 100}, "canary_percent must be 0 to 99, got 100"),
        ({"canary_percent": -1}, "canary_percent must be 0 to 99, got -1"),
        ({"accelerator_count": -1}, "accelerator_count must be at least 0, got -1"),
        ({"accelerator_count": 1.5}, "accelerator_count must be a whole number, got 1.5"),
        ({"accelerator_count": "two"}, "accelerator_count must be a whole number, got 'two'"),
    ],
)
def test_what_is_out_of_range(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ClusterParameters(**given).check()


def test_what_is_in_range() -> None:
    ClusterParameters(canary_percent=99, accelerator_count=8).check()


@pytest.mark.parametrize(
    ("text", "number"),
    [("2", "2"), ("500m", "0.5"), ("1.5Gi", "1610612736"), ("128k", "128000"), ("1e3", "1000")],
)
def test_the_number_that_a_quantity_is(text: str, number: str) -> None:
    assert parse_quantity(text) == Decimal(number)


@pytest.mark.parametrize("size", QUANTITIES)
def test_every_quantity_has_a_number(size: str) -> None:
    assert parse_quantity(size) >= 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"training_cpu": "32"}, "training_cpu_limit must be at least training_cpu, 32, got '16'"),
        ({"training_cpu_limit": "many"}, "training_cpu_limit must be a quantity"),
    ],
)
def test_a_limit_below_what_is_requested(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ClusterParameters(**given).check()
