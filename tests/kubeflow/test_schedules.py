from __future__ import annotations

from typing import Any

import pytest

from kfdet.cli import main
from kfdet.errors import InputError
from kfdet.kubeflow import backend as backends
from kfdet.kubeflow.orders import Order
from kfdet.kubeflow.schedules import check_name, create_schedule, find_schedule, schedules


def recurring(name: str, number: str, pipeline: str = "p1", **fields: Any) -> dict[str, Any]:
    return {
        "recurring_run_id": number,
        "display_name": name,
        "pipeline_version_reference": {"pipeline_id": pipeline, "pipeline_version_id": "v1"},
        "trigger": {"cron_schedule": {"cron": "0 0 3 * * *"}},
        "runtime_config": {"parameters": {"dataset": f"minio://b/{name}", "endpoint": ""}},
        "status": "ENABLED",
        **fields,
    }


class Backend:
    def __init__(self, *found: dict[str, Any]) -> None:
        self.found = list(found)
        self.created: list[Any] = []

    def find_version(self, name: str, _: str) -> tuple[str, str]:
        return ("p1" if name == "kfdet-training" else ""), ""

    def recurring_runs(self) -> list[dict[str, Any]]:
        return self.found

    def create_recurring_run(self, *given: Any) -> str:
        self.created.append(given)
        return "s9"

    def enable_recurring_run(self, number: str, *, enabled: bool) -> None:
        for each in self.found:
            if each["recurring_run_id"] == number:
                each["status"] = "ENABLED" if enabled else "DISABLED"

    def delete_recurring_run(self, number: str) -> None:
        self.found = [each for each in self.found if each["recurring_run_id"] != number]


FOREIGN = recurring("report", "s0", "p7")
PERIODIC = recurring("cups", "s2", trigger={"periodic_schedule": {"interval_second": "60"}})


def test_only_those_of_kfdet_are_listed() -> None:
    backend: Any = Backend(recurring("toys", "s1"), FOREIGN, PERIODIC, {"recurring_run_id": "s3"})
    cups, toys = schedules(backend)
    assert (toys.id, toys.name, toys.cron, toys.paused) == ("s1", "toys", "0 0 3 * * *", False)
    assert toys.arguments["dataset"] == "minio://b/toys"
    assert (cups.name, cups.cron) == ("cups", "")


def test_a_schedule_is_found_by_name_or_id() -> None:
    backend: Any = Backend(
        recurring("toys", "s1"), recurring("cups", "s2"), recurring("cups", "s3")
    )
    assert find_schedule(backend, "toys").id == find_schedule(backend, "s1").id == "s1"
    with pytest.raises(InputError, match=r"several .* Give an ID: s2, s3"):
        find_schedule(backend, "cups")
    with pytest.raises(InputError, match="there is no schedule 'mugs'"):
        find_schedule(backend, "mugs")


def test_a_second_one_of_the_same_name_is_refused() -> None:
    backend: Any = Backend(recurring("toys", "s1"), FOREIGN)
    check_name(backend, "report")  # another pipeline's
    with pytest.raises(InputError, match="kfdet schedules --remove toys"):
        check_name(backend, "toys")


def test_it_starts_what_was_ordered() -> None:
    backend: Any = Backend()
    version = {"pipeline_id": "p1", "pipeline_version_id": "v1"}
    order = Order("toys", "e1", version, {"seed": 1}, "s3://b/runs", "f1")
    assert create_schedule(backend, order, "0 0 3 * * *", "nightly") == "s9"
    assert backend.created == [
        ("nightly", "0 0 3 * * *", "e1", version, {"seed": 1}, "s3://b/runs")
    ]


def test_pause_resume_and_remove(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = Backend(recurring("toys", "s1"), recurring("cups", "s2"))
    monkeypatch.setattr(backends, "connect_backend", lambda *_: backend)
    assert main(["schedules", "--pause", "toys"]) == 0
    states = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "paused" in states["toys"]
    assert "0 3 * * *" in states["toys"]
    assert "active" in states["cups"]
    assert main(["schedules", "--resume", "s1", "--remove", "cups"]) == 0
    assert [(each["display_name"], each["status"]) for each in backend.found] == [
        ("toys", "ENABLED")
    ]


def test_bad_times_reach_no_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "minio://b/toys", "--cron", "0 25 * * *"]) == 2
    assert "the hour must be 0 to 23" in " ".join(capsys.readouterr().err.split())
