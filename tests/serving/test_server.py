"""How `kfdet serve` starts and ends."""

from __future__ import annotations

import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import requests
import tensorflow as tf
from support.patience import SECONDS, wait_until
from support.toy_server import NAME, Served, free_port, start_server
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from kfdet.cli import main


def empty(folder: Path) -> Path:
    return folder


def missing(folder: Path) -> Path:
    return folder / "missing"


def without_numbers(folder: Path) -> Path:
    (folder / "latest").mkdir()
    (folder / "latest" / "saved_model.pb").touch()
    return folder


def broken(folder: Path) -> Path:
    (folder / "1").mkdir()
    (folder / "1" / "saved_model.pb").write_bytes(b"no protocol buffer at all")
    return folder


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (empty, "no SavedModel here."),
        (missing, "does not exist. Give the folder of a run, or a model's folder."),
        (without_numbers, "no SavedModel here."),
        (broken, "this SavedModel cannot be loaded"),
    ],
)
def test_bad_model(make, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ports = ["--rest-api-port", str(free_port()), "--port", str(free_port())]
    assert main(["serve", str(make(tmp_path)), *ports]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("option", ["--rest-api-port", "--port"])
def test_port_in_use(option: str, toy_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = {"--rest-api-port": "--port", "--port": "--rest-api-port"}[option]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = [option, str(port), other, str(free_port()), "--host", "127.0.0.1"]
        assert main(["serve", str(toy_model), *arguments]) == 2
    expected = f"error: cannot listen on port {port}: Address already in use. Choose another with"
    assert f"{expected} {option}.\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rest-api-port", "9000", "--port", "9000"], "cannot both use"),
        (["--host", "no.such.host.invalid"], "no.such.host.invalid is not an address"),
        (["--port", "0"], "--port"),
    ],
)
def test_bad_address(
    arguments: list[str], message: str, toy_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(toy_model), *arguments]) == 2
    assert message in capsys.readouterr().err


def refuses_connections(served: Served) -> bool:
    try:
        requests.get(served.model_url, timeout=SECONDS)
    except requests.ConnectionError:
        return True
    return False


@pytest.mark.slow
def test_running_requests_are_answered_before_the_end(toy_model: Path, tmp_path: Path) -> None:
    served = start_server(toy_model / "12")  # one version is as good as their folder
    message = predict_pb2.PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = NAME, "wait"
    message.inputs["file"].CopyFrom(tf.make_tensor_proto([str(tmp_path / "grpc")]))
    body = {"signature_name": "wait", "instances": [str(tmp_path / "rest")]}
    with ThreadPoolExecutor() as pool, grpc.insecure_channel(served.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        grpc.channel_ready_future(channel).result(SECONDS)
        over_grpc = pool.submit(stub.Predict, message)
        over_rest = pool.submit(requests.post, f"{served.model_url}:predict", json=body)
        wait_until(lambda: len(list(tmp_path.glob("*.started"))) == 2)
        served.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses_connections(served))
        assert not over_rest.done()
        for name in ("rest", "grpc"):
            (tmp_path / name).touch()
        assert over_rest.result(SECONDS).json() == {"predictions": [True]}
        assert over_grpc.result(SECONDS).outputs["found"].bool_val == [True]
    shown = served.process.communicate(timeout=SECONDS)[1]
    assert served.process.returncode == 0
    assert "serving: model=toy version=12" in shown
    assert "Traceback" not in shown
