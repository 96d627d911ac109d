from __future__ import annotations

import pytest

from kfdet.errors import InputError
from kfdet.kubeflow.parameters import ClusterParameters


def test_the_defaults_ask_for_nothing_special() -> None:
    arguments = ClusterParameters().arguments("toys")
    assert arguments["accelerator_count"] == "0"
    assert (arguments["node_selector"], arguments["tolerations"]) == ({}, [])
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
        ({"node_selector": ""}, "node selector '': this is no JSON"),
        ({"node_selector": "gpu=yes"}, "node selector 'gpu=yes': this is no JSON"),
        ({"node_selector": "[]"}, "this is of the wrong kind. Write for example {"),
        ({"tolerations": "{}"}, "this is of the wrong kind. Write for example [{"),
    ],
)
def test_what_is_not_that_json(given: dict[str, str], message: str) -> None:
    with pytest.raises(InputError) as error:
        ClusterParameters(**given).arguments("toys")  # type: ignore[arg-type]
    assert message in str(error.value)
