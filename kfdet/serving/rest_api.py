"""TensorFlow Serving's REST API on the KServe model server library.

KServe's V1 protocol has the same predict URL. What it lacks is added through its own hooks: the
model class decodes and encodes TensorFlow Serving's JSON, and routes before KServe's answer for
status, metadata and versions. KServe's health (/v2/health/live, /v2/health/ready) and Prometheus
(/metrics) endpoints stay; its V2 inference does not fit a detector and answers 501.
"""

from __future__ import annotations

import asyncio
import warnings
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from google.protobuf import json_format
from grpc import StatusCode
from kserve import Model, ModelRepository
from kserve.model_server import app
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer

from kfdet.cluster.names import METRICS_PATH
from kfdet.serving import messages, tensor_json
from kfdet.serving.http_limits import BodyLimit
from kfdet.serving.limited import LimitedModel
from kfdet.serving.limited import Request as TensorRequest
from kfdet.serving.model import ServedModel, ServingError, invalid

_MOST_DIGITS = 18
_TEXT = "text/plain; version=0.0.4"

# As TensorFlow Serving maps them (model_servers/http_server.cc); all others are 500.
_HTTP_STATUS = {
    StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    StatusCode.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    StatusCode.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    StatusCode.ABORTED: HTTPStatus.CONFLICT,
    StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}


class _KServeModel(Model):  # type: ignore[misc]
    """What KServe calls for a predict request: JSON in, JSON out, both as bytes."""

    def __init__(self, limited: LimitedModel) -> None:
        super().__init__(limited.model.name, return_response_headers=True)
        self._limited = limited
        self._threads = ThreadPoolExecutor(limited.admission.capacity, thread_name_prefix="rest")
        self.ready = True

    async def predict(
        self, payload: Any, headers: dict[str, str], response_headers: dict[str, str]
    ) -> bytes:
        """The response; the model's own time is in its header Server-Timing."""
        # In a thread: the event loop answers probes while a picture is looked at.
        loop = asyncio.get_running_loop()
        body, timing = await loop.run_in_executor(self._threads, self._answer, payload)
        response_headers["content-type"] = "application/json"
        response_headers["server-timing"] = timing
        return body

    def _answer(self, body: bytes) -> tuple[bytes, str]:
        layout: tensor_json.Layout = "row"

        def read() -> TensorRequest:
            nonlocal layout
            request, layout = tensor_json.decode(tensor_json.parse(body), self._limited.model)
            return request

        with self._limited.metrics.request("REST"):
            prediction = self._limited.predict(len(body), read)
        return tensor_json.encode(prediction, layout), prediction.server_timing


class _FixedRepository(ModelRepository):  # type: ignore[misc]
    """One model; who may ask for detections may not unload it over KServe's V2 API."""

    def unload(self, name: str) -> None:
        raise ServingError(StatusCode.UNIMPLEMENTED, f"{name} cannot be unloaded")


def create_server(limited: LimitedModel, port: int) -> RESTServer:
    """KServe's REST server with a model in it; its application is the process's only one."""
    # The default response class of KServe's application; nothing that a user could change.
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    repository = _FixedRepository()
    repository.update(_KServeModel(limited))
    plane = DataPlane(model_registry=repository)
    server = RESTServer(
        "kserve.model_server:app", plane, ModelRepositoryExtension(repository), http_port=port
    )
    # The first route that fits a URL answers: these come before KServe's, and the last after.
    app.include_router(_routes(limited.model, plane))
    app.add_api_route(METRICS_PATH, lambda: Response(limited.metrics.text(), media_type=_TEXT))
    server.create_application()
    # Added last, it sees a request first.
    app.add_middleware(BodyLimit, most=limited.limits.request_bytes)
    app.add_api_route("/v1/{rest:path}", _malformed, methods=["GET", "POST"])
    _add_error_handlers(app)
    return server


def _routes(model: ServedModel, plane: DataPlane) -> APIRouter:
    async def status(request: Request, name: str, version: str = "") -> Response:
        model.check(name, _number(version, request))
        return JSONResponse(_to_json(messages.model_status(model)))

    async def metadata(request: Request, name: str, version: str = "") -> Response:
        model.check(name, _number(version, request))
        spec = messages.model_metadata(model).model_spec
        # Not the whole message: REST shows the signatures themselves, not a packed Any.
        return JSONResponse(
            {
                "model_spec": _to_json(spec),
                "metadata": {"signature_def": _to_json(messages.signature_map(model))},
            }
        )

    async def predict(request: Request, name: str, version: str = "") -> Response:
        model.check(name, _number(version, request))
        # Not by KServe's endpoint, which parses JSON where all other requests wait for it.
        body, headers = await plane.infer(name, await request.body())
        return Response(body, headers=headers)

    router = APIRouter()
    # Before a bare {name}, which would take ":predict" for a part of the name.
    for place in ("/v1/models/{name}/versions/{version}", "/v1/models/{name}"):
        router.add_api_route(f"{place}:predict", predict, methods=["POST"])
        router.add_api_route(f"{place}:predict", _malformed, methods=["GET"])
        router.add_api_route(f"{place}/metadata", metadata, methods=["GET"])
        router.add_api_route(place, status, methods=["GET"])
    router.add_api_route("/v2/models/{rest:path}", _only_v1, methods=["POST"])
    return router


def _number(version: str, request: Request) -> int | None:
    if not version:
        return None
    if not version.isdecimal() or len(version) > _MOST_DIGITS:
        raise _malformed_error(request)
    return int(version)


async def _only_v1() -> Response:
    raise ServingError(StatusCode.UNIMPLEMENTED, "only the V1 protocol is served")


async def _malformed(request: Request) -> Response:
    raise _malformed_error(request)


def _malformed_error(request: Request) -> ServingError:
    return invalid(f"Malformed request: {request.method} {request.url.path[:200]}")


def _add_error_handlers(application: FastAPI) -> None:
    async def failed(_: Request, error: Exception) -> Response:
        assert isinstance(error, ServingError)
        status = _HTTP_STATUS.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
        return JSONResponse({"error": error.message}, status)

    application.add_exception_handler(ServingError, failed)


def _to_json(message: Any) -> dict[str, Any]:
    value: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return value
