from __future__ import annotations

from typing import Any

import pytest

from kfdet.cluster.parameters import ServingSettings
from kfdet.deployment.capacity import (
    AUTOSCALER,
    CPU,
    LEAST,
    MEMORY,
    MEMORY_LIMIT,
    MOST,
    NO_CAPACITY,
    TARGET,
    Capacity,
    changed_capacity,
    first_capacity,
)
from kfdet.errors import InputError


@pytest.mark.parametrize(
    ("asked", "standard", "knative"),
    [
        ({}, {AUTOSCALER: "none"}, {}),
        ({"replicas": "2"}, {AUTOSCALER: "none", LEAST: 2}, {LEAST: 2, MOST: 2}),
        ({"replicas": "1-4"}, {AUTOSCALER: "hpa", LEAST: 1, MOST: 4}, {LEAST: 1, MOST: 4}),
        ({"replicas": "0-3"}, None, {LEAST: 0, MOST: 3}),
        (
            {"replicas": "1-4", "scale_target": 50},
            {AUTOSCALER: "hpa", LEAST: 1, MOST: 4, TARGET: 50},
            {LEAST: 1, MOST: 4, TARGET: 50},
        ),
        ({"scale_target": 200}, None, {TARGET: 200}),
        (
            {"serving_cpu": "500m", "serving_memory": "2Gi"},
            {AUTOSCALER: "none", CPU: "500m", MEMORY: "2Gi", MEMORY_LIMIT: "2Gi"},
            {CPU: "500m", MEMORY: "2Gi", MEMORY_LIMIT: "2Gi"},
        ),
    ],
)
def test_what_is_asked_for(asked: Any, standard: Any, knative: Any) -> None:
    settings = ServingSettings(**asked)
    assert first_capacity(settings, standard=False).own == knative
    if standard is None:
        with pytest.raises(InputError, match=r"scale to zero|percentage"):
            first_capacity(settings, standard=True)
    else:
        assert first_capacity(settings, standard=True).own == standard


@pytest.mark.parametrize("text", ["two", "0", "3-2", "-1", "1-", "1-2-3", "0-0"])
def test_no_number_of_pods(text: str) -> None:
    with pytest.raises(InputError, match="replicas must be a number of pods or MIN-MAX"):
        ServingSettings(replicas=text).check()


def test_no_quantity() -> None:
    with pytest.raises(InputError, match="serving_memory must be a quantity"):
        ServingSettings(serving_memory="much").check()


def test_who_scales_by_hand_keeps_all_of_it() -> None:
    current = Capacity({AUTOSCALER: "none"}, {LEAST: 4})
    asked = ServingSettings(replicas="1-3", serving_cpu="1")
    capacity, kept = changed_capacity(asked, current, standard=True, force=False)
    assert capacity == Capacity({AUTOSCALER: "none", CPU: "1"}, {LEAST: 4})
    assert kept == ["minReplicas 4"]
    assert capacity.least_pods == 4
    forced, kept = changed_capacity(asked, current, standard=True, force=True)
    assert forced.own == {AUTOSCALER: "hpa", LEAST: 1, MOST: 3, CPU: "1"}
    assert not forced.others
    assert kept == []


def test_resources_by_hand_stay_and_the_candidate_gets_them() -> None:
    current = Capacity({AUTOSCALER: "none"}, {MEMORY: "8Gi"})
    asked = ServingSettings(replicas="2", serving_memory="4Gi")
    capacity, kept = changed_capacity(asked, current, standard=True, force=False)
    assert capacity.own == {AUTOSCALER: "none", LEAST: 2, MEMORY_LIMIT: "4Gi"}
    assert kept == ["memory 8Gi"]
    assert capacity.of_candidate(standard=True).own == {
        AUTOSCALER: "none",
        MEMORY: "8Gi",
        MEMORY_LIMIT: "4Gi",
    }
    assert NO_CAPACITY.least_pods == 1
