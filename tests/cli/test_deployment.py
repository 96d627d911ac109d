"""The stage and the commands: an S3 server, an API server of a few lines, everything between."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployment.test_smoke_test import GIF, answer, write
from support import run_files
from support.fake_cluster import FakeCluster, running
from support.object_store import ObjectStore
from support.patience import SECONDS, wait_until

import kfdet
from kfdet.cli import main
from kfdet.cluster.api import Cluster
from kfdet.cluster.names import NAMESPACE
from kfdet.deployment import gate, readiness
from kfdet.deployment.endpoint import Release, Serving
from kfdet.deployment.gate import Decision
from kfdet.deployment.inference_service import build, read
from kfdet.deployment.publish import version_of
from kfdet.deployment.rollout import check_deployment
from kfdet.deployment.starting import with_located_start
from kfdet.detection.thresholds import Thresholds
from kfdet.errors import InputError, KfdetError
from kfdet.evaluation.comparison import Comparison
from kfdet.parameters import TrainingSettings
from kfdet.stages.deployment import deploy as deployment_stage
from kfdet.training.starting_point import check_start

HEADINGS = "NAME VERSION AP50 GAIN REFUSED READY CANARY PREVIOUS AGE URL"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    store = ObjectStore()
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    yield store
    store.stop()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """The cluster of the user's kubeconfig."""
    monkeypatch.setattr(readiness, "INTERVAL_SECONDS", 0.01)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    fake = FakeCluster()
    path = "/services/toys-candidate-predictor:80/proxy/v1/models/toys-candidate:predict"
    fake.answers["POST", path] = (200, answer([0.5, 0.25, 1.0, 0.75]))
    with running(fake) as cluster:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [
                {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "default"}}
            ],
            "clusters": [{"name": "c", "cluster": {"server": cluster.api.configuration.host}}],
            "users": [{"name": "u", "user": {}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield fake


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder as far as a deployment looks at it."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model.zip").write_text("zip")
    graph = folder / "model" / "1" / "saved_model.pb"
    graph.parent.mkdir(parents=True)
    graph.write_text("graph")
    (folder / "model" / "model.json").write_text('{"start": {"pretrained": "imagenet"}}')
    (folder / "run.json").write_text(json.dumps(run_files.record()))
    metrics = run_files.metrics(AP=0.61234567, AP_small=None, verdict_reasons=["Good."])
    (folder / "metrics.json").write_text(json.dumps(metrics))
    records = folder / "artifacts" / "run-1" / "tfrecord-build" / "records"
    records.mkdir(parents=True)
    write(records, [["ball"]])
    return folder


@pytest.mark.usefixtures("store")
def test_the_stage(
    fake: FakeCluster, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (records,) = run.rglob("records")

    def deploy() -> tuple[str, str, str]:
        return deployment_stage(
            run / "model",
            run / "metrics.json",
            records,
            run / "model.zip",
            tmp_path / "outcome",
            endpoint="toys",
            model_root="minio://kfdet/models",
            canary_percent=0,
            promote="always",
            rival="",
        )

    url, version, _ = deploy()
    outcome = json.loads((tmp_path / "outcome").read_text())
    assert outcome["version"] == version
    annotations = fake.objects["toys"]["metadata"]["annotations"]
    assert url == "http://toys-default.example.com"
    assert annotations["kfdet.io/version"] == version
    assert json.loads(annotations["kfdet.io/metrics"]) == {"AP": 0.6123, "AP50": 0.9}
    assert annotations["kfdet.io/start"] == "imagenet"
    assert "hidden-word" not in capfd.readouterr().err
    applied = len(fake.applied)
    assert deploy() == (url, version, "toys serves this version already.")
    assert len(fake.applied) == applied


EARLIER, LATER = "2026-01-02T03:04:05.000+00:00", "2026-01-02T03:04:06.000+00:00"


def deploy_in_a_run(run: Path, content: str, started: str) -> tuple[str, str, str]:
    """The stage with a model of this content, in a run that was started then."""
    (run / "model" / "1" / "saved_model.pb").write_text(content)
    (records,) = run.rglob("records")
    return deployment_stage(
        *(run / "model", run / "metrics.json", records, run / "model.zip", run / "outcome"),
        endpoint="toys",
        model_root="minio://kfdet/models",
        canary_percent=0,
        promote="always",
        rival="",
        started=started,
    )


@pytest.mark.usefixtures("store")
def test_a_superseded_run_leaves_the_endpoint_to_the_newer_one(
    fake: FakeCluster, run: Path
) -> None:
    newer = deploy_in_a_run(run, "newer", LATER)
    for _ in range(2):  # a retry does not take the endpoint back either
        url, version, decision = deploy_in_a_run(run, "older", EARLIER)
        assert (url, version) == newer[:2]
        assert decision.startswith(f"Superseded: toys serves version {version} of a run that was")
    (endpoint,) = fake.objects.values()
    assert endpoint["metadata"]["annotations"]["kfdet.io/version"] == newer[1]
    assert "Superseded" in endpoint["status"]["annotations"]["kfdet.io/refused"]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("ours", "theirs"), [(EARLIER, LATER), (LATER, EARLIER)])
def test_two_runs_that_deploy_at_once_end_with_the_newer_model(
    fake: FakeCluster, run: Path, ours: str, theirs: str
) -> None:
    """The other one switches the endpoint while this one waits for its candidate."""
    deploy_in_a_run(run, "first", "2026-01-01T00:00:00.000+00:00")

    def overtakes(manifest: dict[str, Any]) -> None:
        if manifest["metadata"]["name"] == "toys-candidate":
            fake.after_apply = lambda _: None
            release = Release("0" * 12, "s3://kfdet/models/toys/0", started=theirs)
            applied = build("toys", NAMESPACE, Serving(release), "Standard")
            fake.objects["toys"] |= applied
            fake.touch("toys")

    fake.after_apply = overtakes
    _, version, decision = deploy_in_a_run(run, "ours", ours)
    assert list(fake.objects) == ["toys"]
    served = read(fake.objects["toys"]).serving.stable
    assert served.version == version
    assert served.started == LATER
    assert ("Superseded" in decision) == (ours == EARLIER)


@pytest.mark.parametrize("model", ["run", "run/model", "run/model/"])
def test_deploy_list_and_roll_back(
    fake: FakeCluster,
    store: ObjectStore,
    run: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    model: str,
) -> None:
    monkeypatch.chdir(run.parent)
    assert main(["deploy", model, "--name", "toys", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["metrics"] == {"AP": 0.6123, "AP50": 0.9}
    assert first["ready"]
    assert first["previous"] is first["canary"] is None
    stored = [entry.object_name for entry in store.client.list_objects("kfdet", recursive=True)]
    assert stored == [
        f"models/toys/{first['version']}/1/saved_model.pb",
        f"models/toys/bundles/{first['version']}.zip",
    ]

    (run / "model" / "1" / "saved_model.pb").write_text("another graph")
    assert main(["deploy", model, "--name", "toys", "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["previous"] == first["version"]

    assert main(["rollback", "toys"]) == 0
    assert f"toys serves version {first['version']}: http" in capsys.readouterr().out
    assert main(["endpoints"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[0].split()) == HEADINGS
    assert lines[1].split()[:8] == [
        "toys",
        first["version"],
        "0.900",
        "-",
        "-",
        "yes",
        "-",
        second["version"],
    ]
    assert lines[1].split()[-1] == "http://toys-default.example.com"
    assert main(["endpoints", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["version"] == first["version"]
    assert list(fake.objects) == ["toys"]


@pytest.mark.usefixtures("store")
def test_a_refusal_stays_on_the_endpoint(
    fake: FakeCluster,
    run: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def worse(cluster: Cluster, name: str, *_: Any) -> Decision:
        comparison = Comparison("version 1 of toys", 0.8, 0.9, -0.1, (-0.15, -0.05), (), ())
        current = check_deployment(cluster, name, 0)
        return Decision(False, "Worse.", current, asdict(comparison))

    assert main(["deploy", str(run), "--name", "toys"]) == 0
    applied = list(fake.applied)
    (next(run.rglob("records")) / "examples.parquet").touch()
    (run / "model" / "1" / "saved_model.pb").write_text("a worse graph")
    monkeypatch.setattr(gate, "may_replace", worse)
    command = ["deploy", str(run), "--name", "toys", "--promote", "better"]
    assert main(command) == 1
    assert "toys stays as it is" in capsys.readouterr().err
    assert fake.applied == applied, "its pods would restart"
    refused = version_of(run / "model" / "1")
    assert main(["endpoints"]) == 0
    assert f"  {refused} -0.100 (-0.150 to -0.050)  yes" in capsys.readouterr().out
    assert main(["endpoints", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["refused"]["version"] == refused
    assert listed["refused"]["current"] == listed["version"]
    assert listed["refused"]["reason"] == "Worse."
    assert listed["refused"]["comparison"]["interval"] == [-0.15, -0.05]

    fake.answers["PATCH", "/status"] = 403, {"reason": "Forbidden", "message": "no"}
    assert main(command) == 1
    assert "The refusal could not be noted at toys" in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("given", "url", "threshold"),
    [
        ({}, "http://toys-default.example.com", 0.4),
        ({"url": "http://localhost:8080"}, "http://localhost:8080", 0.4),
        ({"threshold": 0.1}, "http://toys-default.example.com", 0.1),
    ],
    ids=["recommended", "forwarded", "another"],
)
def test_a_client_takes_address_and_threshold_from_the_endpoint(
    fake: FakeCluster,
    run: Path,
    given: dict[str, Any],
    url: str,
    threshold: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extra = run / "model" / "1" / "assets.extra"
    extra.mkdir()
    (extra / "thresholds.json").write_text(Thresholds(0.4, {"ball": 0.3}).to_json())
    assert main(["deploy", str(run), "--name", "toys"]) == 0
    asked: list[Any] = []
    monkeypatch.setattr(kfdet.Detector, "load", lambda *place, **how: asked.append((place, how)))
    kfdet.load_endpoint("toys", **given)
    assert asked == [((url,), {"name": "toys", "threshold": threshold})]
    with pytest.raises(InputError, match="endpoint:cups: kfdet serves no endpoint of this name"):
        kfdet.load_endpoint("cups")


@pytest.mark.usefixtures("store", "fake")
def test_an_endpoint_is_measured_by_its_name(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["deploy", str(run), "--name", "toys"]) == 0
    address = "http://toys-default.example.com/v1/models/toys"
    asked: list[Any] = []

    def measure_load(load: Any, *_: Any, **__: Any) -> Any:
        asked.extend(load.args)
        raise KfdetError("measured.")

    def evaluate(model: str, _: str, __: Any, settings: Any, **___: Any) -> Any:
        asked.extend((model, settings.gate.against))
        raise KfdetError("measured.")

    monkeypatch.setattr("kfdet.evaluation.load.measure_load", measure_load)
    monkeypatch.setattr("kfdet.local.evaluation.evaluate", evaluate)
    assert main(["load", "endpoint:toys"]) == 1
    assert main(["evaluate", str(run), str(tmp_path), "--against", "endpoint:toys"]) == 1
    assert main(["evaluate", "endpoint:toys", str(tmp_path)]) == 1
    assert asked == [address, str(run), address, address, ""]
    assert main(["load", "endpoint:cups"]) == 2


@pytest.mark.usefixtures("store", "fake")
@pytest.mark.parametrize("command", ["detect a.jpg --model", "load", "evaluate"])
def test_an_endpoint_is_looked_up_in_its_namespace(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def connect(namespace: str) -> Any:
        asked.append(namespace)
        raise InputError("no cluster here.")

    monkeypatch.setattr("kfdet.deployment.lookup.connect", connect)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").touch()
    assert main([*command.split(), "endpoint:toys", "-n", "shop"]) == 2
    assert asked == ["shop"]


def test_start_from_what_an_endpoint_serves(
    fake: FakeCluster, store: ObjectStore, run: Path
) -> None:
    settings = TrainingSettings(pretrained="endpoint:toys")
    with pytest.raises(InputError, match="kfdet serves no endpoint of this name in the namespace"):
        with_located_start(settings)
    assert main(["deploy", str(run), "--name", "toys"]) == 0
    version = fake.objects["toys"]["metadata"]["annotations"]["kfdet.io/version"]
    located = with_located_start(settings)
    assert located.pretrained == f"s3://kfdet/models/toys/bundles/{version}.zip"
    check_start(located)
    store.client.remove_object("kfdet", f"models/toys/bundles/{version}.zip")
    with pytest.raises(InputError, match=r"are not in the bucket.*kfdet deploy RUN --name toys"):
        with_located_start(settings)
    with pytest.raises(InputError, match="there are no objects"):
        check_start(located)
    untouched = TrainingSettings(pretrained="imagenet")
    assert with_located_start(untouched) is untouched


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
def test_a_deployment_that_is_ended_takes_its_candidate_away(
    fake: FakeCluster,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    status: int,
) -> None:
    monkeypatch.setattr(fake, "_pods", lambda name: [])  # the candidate waits for its pod
    command = [sys.executable, "-m", "kfdet", "deploy", str(run), "--name", "toys"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        wait_until(lambda: ("GET", "pods") in fake.requests, process)
        assert list(fake.objects) == ["toys-candidate"]
        process.send_signal(number)
        _, error = process.communicate(timeout=SECONDS)
    assert process.returncode == status
    assert b"Traceback" not in error
    assert fake.objects == {}


@pytest.mark.usefixtures("store")
def test_a_model_without_its_run(
    fake: FakeCluster, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "alone"
    (run / "model").rename(model)
    assert main(["deploy", str(model), "--name", "toys"]) == 2
    assert "no picture to try the model with. Give one with --image" in capsys.readouterr().err
    picture = tmp_path / "photo.gif"
    picture.write_bytes(GIF)
    assert main(["deploy", str(model), "--name", "toys", "--image", str(picture)]) == 0
    assert fake.objects["toys"]["metadata"]["annotations"]["kfdet.io/metrics"] == "{}"


def test_no_endpoints(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["endpoints"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "no endpoints in namespace default\n")
    assert main(["endpoints", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["rollback", "toys"]) == 2
    assert "there is no endpoint toys" in capsys.readouterr().err
    assert fake.objects == {}


@pytest.mark.usefixtures("store", "fake")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: (run / "model" / "1" / "saved_model.pb").unlink(), "no SavedModel here"),
        (
            lambda run: (run / "metrics.json").write_text("[1]"),
            "metrics.json: is not what kfdet wrote",
        ),
        (lambda run: next(run.rglob("val-*")).unlink(), "val-00000.tfrecord: cannot read: No such"),
    ],
)
def test_bad_runs(run: Path, change: Any, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    change(run)
    assert main(["deploy", str(run), "--name", "toys"]) == 2
    assert message in capsys.readouterr().err


def test_without_a_kubeconfig(
    run: Path, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    assert main(["deploy", str(run), "--name", "toys"]) == 2
    assert "there is no kubeconfig" in capsys.readouterr().err.replace("\n", " ")
