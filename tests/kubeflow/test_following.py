from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.workflow_samples import cached, driver, node, ran, workflow

from kfdet.console.display import show_events
from kfdet.kubeflow import following
from kfdet.kubeflow.backend import BackendUnreachableError
from kfdet.kubeflow.following import RunFailedError, follow, last_error, log_events

GPU = "Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
FAILED = {"phase": "Failed", "message": "main: Error (exit code 1)"}


class Backend:
    """An API server of the looks of a run, one after the other; an exception is raised."""

    def __init__(self, *looks: tuple[str, dict[str, Any]] | Exception, log: str = "") -> None:
        self.looks = list(looks)
        self.printed = log
        self.now: tuple[str, dict[str, Any]] = ("", {})

    def run(self, run_id: str) -> dict[str, Any]:
        look = self.looks.pop(0)
        if isinstance(look, Exception):
            raise look
        self.now = look
        return {"run_id": run_id, "state": look[0]}

    def workflow(self, _: str) -> dict[str, Any]:
        return self.now[1]

    def log(self, _: str, pod: str) -> str:
        return self.printed if pod else ""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    monkeypatch.setattr(following, "_POLL_SECONDS", 0.0)


def event(kind: str, **fields: Any) -> str:
    """A line of a pod's log."""
    return json.dumps({"event": kind, "stage": "training", "pid": 1, **fields}) + "\n"


def watch(backend: Backend) -> list[str]:
    """The lines that following prints, without those of stages that start."""
    out = io.StringIO()
    with show_events(Console(file=out, width=1000)) as on_event:
        follow(backend, "r1", on_event)  # type: ignore[arg-type]
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    return [line for line in lines if not line.endswith(" ...")]


def test_a_run_from_before_its_first_report() -> None:
    running = {"phase": "Running"}
    loop = "root.for-loop-1.iteration-item({0}:{0}).iteration"
    groups = [n for i in range(2) for n in ran(f"{loop.format(i)}.interpolation")]
    lines = watch(
        Backend(
            ("PENDING", {}),
            ("RUNNING", workflow(driver("root.planning", "Running"))),
            ("RUNNING", workflow(*ran("root.planning", running, phase="Running"))),
            ("RUNNING", workflow(*ran("root.planning"), driver("root.export", "Pending"))),
            BackendUnreachableError("gone for a moment"),
            ("RUNNING", workflow(*ran("root.planning"), *groups)),
            ("SUCCEEDED", workflow(*ran("root.planning"), *groups, *cached("root.export"))),
        )
    )
    assert lines == ["planning 12.0 s", "interpolation 24.0 s (2 groups)", "export unchanged"]


def test_a_pod_that_waits_says_for_what_once() -> None:
    waiting = workflow(*ran("root.training", {"phase": "Pending", "message": GPU}, phase="Running"))
    done = workflow(*ran("root.training"))
    (line, _) = watch(Backend(("RUNNING", waiting), ("RUNNING", waiting), ("SUCCEEDED", done)))
    assert line.startswith(f"warning: training waits: {GPU} No node has such an accelerator free")


def test_a_pod_that_starts_says_nothing() -> None:
    fields = {"phase": "Pending", "message": "ContainerCreating"}
    starting = workflow(*ran("root.training", fields, phase="Running"))
    lines = watch(Backend(("RUNNING", starting), ("SUCCEEDED", workflow(*ran("root.training")))))
    assert lines == ["training 12.0 s"]


QUOTA = (
    'pods "training-1" is forbidden: exceeded quota: team, requested: requests.memory=4Gi, used: '
    "requests.memory=6Gi, limited: requests.memory=8Gi"
)


def test_a_full_quota_is_told_at_once() -> None:
    waiting = workflow(driver("root.planning", "Pending") | {"message": QUOTA})
    (line, _) = watch(Backend(("RUNNING", waiting), ("SUCCEEDED", workflow(*ran("root.planning")))))
    assert line.startswith(f"warning: planning waits: {QUOTA}. It waits until there is room")


MOUNT = "FailedMount: no such volume"


@pytest.mark.parametrize(("looks", "told"), [(2 * [MOUNT], [MOUNT]), (["Starting", MOUNT], [])])
def test_what_a_pod_says_is_told_if_it_stays(
    looks: list[str], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(following, "_STARTING_SECONDS", 0.04)
    attempts = [{"phase": "Pending", "message": message} for message in looks]
    waiting = [workflow(*ran("root.training", fields, phase="Running")) for fields in attempts]
    done = workflow(*ran("root.training"))
    lines = watch(Backend(*(("RUNNING", each) for each in waiting), ("SUCCEEDED", done)))
    assert lines[:-1] == [f"warning: training waits: {message}." for message in told]


def test_an_attempt_that_failed_says_why() -> None:
    killed = {"phase": "Failed", "message": "main: Error (exit code 143)"}
    lines = watch(
        Backend(
            ("RUNNING", workflow(*ran("root.training", killed, phase="Running"))),
            ("SUCCEEDED", workflow(*ran("root.training", killed, {}))),
        )
    )
    assert lines == [
        "warning: training: attempt 1 failed, trying again: Error (exit code 143). The node "
        "evicted it; a retry continues from the last checkpoint.",
        "training 12.0 s",
    ]


FAILURES = [
    (
        ran(
            "root.planning", {"phase": "Failed", "message": "main: Error (exit code 2): a.xml: no."}
        ),
        *("", "Stage planning failed: a.xml: no."),
    ),
    (
        ran("root.planning", FAILED),
        *(
            event("error", message="a.xml: no.", exit_status=2),
            "Stage planning failed: a.xml: no.",
        ),
    ),
    (
        ran("root.tfrecord-build", FAILED),
        "I1121 09:00:01.000000 1 main.go:9] fine\nF1121 09:00:01.000000 1 main.go:9] no bucket\n",
        "Stage TFRecord build failed: no bucket.",
    ),
    (
        ran("root.export", FAILED),
        'Traceback (most recent call last):\n  File "a.py", line 1\nTypeError: odd\n',
        "Stage export failed: TypeError: odd.",
    ),
    (
        ran("root.training", {"phase": "Failed", "message": "main: OOMKilled (exit code 137)"}),
        *("", "Stage training failed: OOMKilled (exit code 137). It exceeded its memory limit"),
    ),
    (
        ran("root.export", {"phase": "Failed", "message": "main: Error (exit code 137)"}),
        *("", "Stage export failed: Error (exit code 137). It was killed: out of memory or from"),
    ),
    ([driver("root.export", "Failed")], "", "Stage export failed: it gave no reason."),
    (
        [
            node(
                "root-driver", "system-dag-driver", "Failed", message="main: Error (exit code 1): x"
            )
        ],
        *("", "The run failed: x."),
    ),
    ([], "", "The run failed: no reason given."),
]


@pytest.mark.parametrize(("nodes", "log", "message"), FAILURES)
def test_a_failed_run_says_why(nodes: list[dict[str, Any]], log: str, message: str) -> None:
    with pytest.raises(RunFailedError) as error:
        watch(Backend(("FAILED", workflow(*nodes)), log=log))
    assert error.value.exit_status == 1
    assert str(error.value).startswith(message)


def test_a_cancelled_run() -> None:
    with pytest.raises(RunFailedError, match="cancelled"):
        watch(Backend(("CANCELED", workflow())))


def test_a_backend_that_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_PATIENCE_SECONDS", -1.0)
    with pytest.raises(BackendUnreachableError):
        watch(Backend(BackendUnreachableError("gone")))


def test_a_log_holds_events_between_other_lines() -> None:
    assert list(log_events("")) == []
    log = (
        "I1121 09:00:01.000000 1 main.go:9] fine\n"
        + event("warning", message="odd\nframe rate")
        + '{"other": "JSON"}\n'
        + event("progress", task="train it", done=1, total=300, unit="steps", note="loss 1.5")
        + event("progress", task="train it", done=40, total=300, unit="steps", note="loss 0.5")
        + '{"event": "progress", "task": "cut o'
    )
    warning, _, latest = log_events(log)
    assert warning["message"] == "odd\nframe rate"
    assert (latest["done"], latest["note"]) == (40, "loss 0.5")


def test_a_running_pods_log_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_LOG_SECONDS", 0.0)
    running = workflow(*ran("root.training", {"phase": "Running"}, phase="Running"))
    log = event("warning", message="odd frame rate") + "".join(
        event("progress", task="train", done=n, total=9, unit="steps") for n in (1, 2)
    )
    looks = [("RUNNING", running), ("RUNNING", running), ("SUCCEEDED", workflow())]
    events: list[dict[str, Any]] = []
    follow(Backend(*looks, log=log), "r1", events.append)  # type: ignore[arg-type]
    assert [e["message"] for e in events if e["event"] == "warning"] == ["odd frame rate"]
    progress = [e for e in events if e["event"] == "progress"]
    assert [e["done"] for e in progress] == [2, 2]
    assert all(e["pid"] != 1 for e in progress)  # the same in every pod


def test_an_error_keeps_all_of_its_lines() -> None:
    message = "2 errors:\na.xml:3: no box.\nb.xml:4: no label."
    nodes = ran("root.planning", FAILED)
    with pytest.raises(RunFailedError) as error:
        watch(Backend(("FAILED", workflow(*nodes)), log=event("error", message=message)))
    assert message in str(error.value)


@pytest.mark.parametrize("log", ["", "all is well\n", event("warning", message="odd")])
def test_a_log_without_an_error(log: str) -> None:
    assert last_error(log) == ""
