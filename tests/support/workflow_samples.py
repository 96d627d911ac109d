"""Argo workflows as KFP's backend compiles and reports them, cut down to what is read of them."""

from __future__ import annotations

import json
import zlib
from typing import Any

NAME = "kfdet-training-x7k2p"
START, END = "2026-11-21T09:00:00Z", "2026-11-21T09:00:12Z"


def node(
    path: str, template: str, phase: str = "Succeeded", kind: str = "Pod", **fields: Any
) -> dict[str, Any]:
    name = f"{NAME}.{path}" if path else NAME
    times = {
        "startedAt": START,
        **({"finishedAt": END} if phase in ("Succeeded", "Failed") else {}),
    }
    return {
        "id": f"{NAME}-{zlib.crc32(name.encode())}",
        "name": name,
        "displayName": path.rpartition(".")[2],
        "type": kind,
        "templateName": template,
        "phase": phase,
        **times,
        **fields,
    }


def driver(path: str, phase: str = "Succeeded", **outputs: str) -> dict[str, Any]:
    parameters = [{"name": n.replace("_", "-"), "value": v} for n, v in outputs.items()]
    return node(
        f"{path}-driver", "system-container-driver", phase, outputs={"parameters": parameters}
    )


def ran(path: str, *attempts: dict[str, Any], phase: str = "Succeeded") -> list[dict[str, Any]]:
    """The nodes of a stage that may be retried: its attempts are fields of their pods."""
    tries = attempts or ({},)
    return [
        driver(path, cached_decision="false"),
        node(path, "retry-system-container-executor", phase, "DAG"),
        node(f"{path}.executor", "retry-system-container-impl", phase, "Retry"),
        *(
            node(f"{path}.executor({number})", "retry-system-container-impl", **fields)
            for number, fields in enumerate(tries)
        ),
    ]


def cached(path: str) -> list[dict[str, Any]]:
    return [
        driver(path, cached_decision="true"),
        node(path, "retry-system-container-executor", "Succeeded", "DAG"),
        node(f"{path}.executor", "retry-system-container-impl", "Skipped", "Skipped"),
    ]


def patch(
    inputs: dict[str, str] | None = None, outputs: dict[str, str] | None = None, **parameters: Any
) -> str:
    """What a driver writes for the stage's pod, with the URI of each artifact."""

    def side(uris: dict[str, str] | None) -> dict[str, Any]:
        return {"artifacts": {n: {"artifacts": [{"uri": u}]} for n, u in (uris or {}).items()}}

    given = json.dumps(
        {"inputs": side(inputs) | {"parameterValues": parameters}, "outputs": side(outputs)}
    )
    command = ["/kfp-launcher/launch", "--executor_input", given, "--", "sh"]
    return json.dumps({"containers": [{"name": "main", "command": command}]})


def workflow(*nodes: dict[str, Any], message: str = "") -> dict[str, Any]:
    root = [
        node("", "entrypoint", "Running", "DAG"),
        node("root-driver", "system-dag-driver"),
        node("root", "root", "Running", "DAG"),
    ]
    return {
        "metadata": {"name": NAME},
        "status": {"nodes": {n["id"]: n for n in [*root, *nodes]}, "message": message},
    }
