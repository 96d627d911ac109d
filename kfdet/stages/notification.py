"""Notification stage: how a run has ended, as JSON to a webhook."""

from __future__ import annotations

import os
import time

from kfdet.cluster.names import NOTIFY_VARIABLE
from kfdet.events import emit, warn

_TIMEOUT = 10.0
_TRIES = 3
_PAUSE = 5.0


def notify(state: str, error: str, run: str, name: str, dataset: str, endpoint: str) -> None:
    """Post how a run has ended; what goes wrong is a warning only.

    The body has the arguments by their names, and `text`, which Slack, Mattermost and Teams show.

    Args:
        state: SUCCEEDED, FAILED or CANCELLED.
        error: Why it failed; "" where that is not known.
        run: The run's ID.
        name: The run's name.
        dataset: Its dataset.
        endpoint: Its endpoint, or "".
    """
    import urllib3

    url = os.environ.get(NOTIFY_VARIABLE, "").strip()
    if not url.startswith(("https://", "http://")):
        warn("No notification was sent: the Secret has no web address under the key url.")
        return
    text = f"kfdet: {name} on {dataset} {state.lower()}"
    body = {
        "text": f"{text}: {error}" if error else text,
        "state": state,
        "error": error,
        "run": run,
        "name": name,
        "dataset": dataset,
        "endpoint": endpoint,
        "link": f"#/runs/details/{run}",
    }
    problem = ""
    for number in range(_TRIES):
        if number:
            time.sleep(_PAUSE)
        try:  # without urllib3's own retries, which log the address
            answer = urllib3.request("POST", url, json=body, timeout=_TIMEOUT, retries=False)
        except (urllib3.exceptions.HTTPError, ValueError) as refused:
            problem = f"cannot be reached ({type(refused).__name__})"  # its text has the address
            continue
        if answer.status < 300:
            emit("info", message="The webhook was notified.")
            return
        problem = f"answers with status {answer.status}"
    warn(f"No notification was sent: the webhook {problem}.")
