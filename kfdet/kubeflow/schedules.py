"""Recurring runs: what Kubeflow Pipelines starts at set times, with the same parameters each time.

The first stage of every run looks at the dataset, so each run trains again if the dataset has
changed since the last one, and takes everything from the cache if it has not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kfdet.errors import InputError
from kfdet.kubeflow.backend import Backend
from kfdet.kubeflow.earlier import kfdet_pipelines, parameters_of, pipeline_of
from kfdet.kubeflow.orders import Order


@dataclass(frozen=True, slots=True)
class Schedule:
    """A recurring run.

    Args:
        id: Its ID.
        name: Its name, of which there is one per installation or profile.
        cron: When it starts runs: six fields, see `kfdet.kubeflow.cron`.
        paused: Whether it starts none at present.
        arguments: The parameters of its runs.
    """

    id: str
    name: str
    cron: str
    paused: bool
    arguments: Mapping[str, Any]


def schedules(backend: Backend) -> list[Schedule]:
    """The recurring runs of kfdet's pipelines, sorted by name."""
    return sorted(_schedules(backend), key=lambda each: (each.name, each.id))


def _schedules(backend: Backend) -> Iterator[Schedule]:
    pipelines = kfdet_pipelines(backend)
    for found in backend.recurring_runs():
        if pipeline_of(found) in pipelines:
            trigger = found.get("trigger") or {}
            yield Schedule(
                str(found["recurring_run_id"]),
                str(found["display_name"]),
                str((trigger.get("cron_schedule") or {}).get("cron", "")),
                found.get("status") == "DISABLED",
                parameters_of(found),
            )


def find_schedule(backend: Backend, name: str) -> Schedule:
    """The recurring run with this name or ID.

    Raises:
        InputError: There is none, or more than one of that name.
    """
    found = [each for each in schedules(backend) if name in (each.name, each.id)]
    if len(found) > 1:
        ids = ", ".join(each.id for each in found)
        raise InputError(f"several schedules are called {name!r}.", hint=f"Give an ID: {ids}.")
    if not found:
        raise InputError(
            f"there is no schedule {name!r}.", hint="`kfdet schedules` lists those that there are."
        )
    return found[0]


def create_schedule(backend: Backend, order: Order, cron: str, name: str) -> str:
    """Let Kubeflow Pipelines start runs at set times; returns the schedule's ID.

    Args:
        backend: The API server.
        order: What each run is made of.
        cron: Six fields, as `kfdet.kubeflow.cron.six_fields` gives them.
        name: What to call it.

    Raises:
        KfdetError: Kubeflow Pipelines refuses it.
    """
    return backend.create_recurring_run(
        name, cron, order.experiment_id, order.version, order.arguments, order.pipeline_root
    )


def check_name(backend: Backend, name: str) -> None:
    """Refuse a name that another schedule has: two of them would start everything twice.

    Raises:
        InputError: There is one already.
    """
    if any(each.name == name for each in schedules(backend)):
        raise InputError(
            f"there is a schedule {name!r} already.",
            hint=f"Remove it with `kfdet schedules --remove {name}`, or choose another --name.",
        )
