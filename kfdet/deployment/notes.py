"""What is noted on an endpoint beside what it serves: in its status, so that no pod restarts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kfdet.cluster import names
from kfdet.cluster.api import Cluster
from kfdet.deployment.endpoint import Endpoint
from kfdet.errors import KfdetError
from kfdet.events import warn


def note(cluster: Cluster, name: str, what: str, key: str, value: Mapping[str, Any]) -> None:
    """Note something on an endpoint.

    Args:
        cluster: Where the endpoint is.
        name: The endpoint.
        what: What it is, for the warning where the account has no right to it.
        key: Name of the annotation.
        value: What JSON can hold.
    """
    try:
        cluster.annotate_status(name, {key: json.dumps(value, sort_keys=True)})
    except KfdetError as error:  # an account without this right still deploys and refuses
        warn(f"The {what} could not be noted at {name}: {error}")


def note_confirmation(cluster: Cluster, endpoint: Endpoint, started: str) -> None:
    """Note that a run gave the version once more that an endpoint serves as its newest.

    Args:
        cluster: Where the endpoint is.
        endpoint: The endpoint as it is.
        started: When that run was started; nothing is noted if a later one is known.
    """
    newest = endpoint.newest
    if started > newest.started:
        confirmation = {"version": newest.version, "started": started}
        note(cluster, endpoint.name, "start of this run", names.CONFIRMED, confirmation)
