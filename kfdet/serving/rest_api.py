"""TensorFlow Serving's REST API on the KServe model server library.

KServe's V1 protocol has the same predict URL. What it lacks is added through its own hooks: the
model class decodes and encodes TensorFlow Serving's JSON, and routes before KServe's answer for
status, metadata and versions. KServe's health (/v2/health/live, /v2/health/ready) and Prometheus
(/metrics) endpoints stay; its V2 inference does not fit a detector and answers 501.
"""

from __future__ import annotations

import asyncio
import warnings
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from google.protobuf import json_format
from grpc import StatusCode
from kserve import Model, ModelRepository
from kserve.errors import InvalidInput
from kserve.model_server import app
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer
from kserve.protocol.rest.v1_endpoints import V1Endpoints

from kfdet.serving import messages, tensor_json
from kfdet.serving.model import ServedModel, ServingError

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
    """What KServe calls for a predict request: JSON in, JSON out."""

    def __init__(self, model: ServedModel) -> None:
        super().__init__(model.name, return_response_headers=True)
        self._model = model
        self.ready = True

    async def predict(
        self, payload: Any, headers: dict[str, str], response_headers: dict[str, str]
    ) -> bytes:
        """The response; the model's own time is in its header Server-Timing."""
        # In a thread: the event loop answers probes while a picture is looked at.
        body, timing = await asyncio.to_thread(self._answer, payload)
        response_headers["content-type"] = "application/json"
        response_headers["server-timing"] = timing
        return body

    def _answer(self, payload: Any) -> tuple[bytes, str]:
        # KServe leaves bytes as they are where the content type is not JSON's, as with curl -d.
        value = tensor_json.parse(payload) if isinstance(payload, bytes) else payload
        if not isinstance(value, dict | list | str | int | float | None):
            raise ServingError(StatusCode.UNIMPLEMENTED, "only the V1 protocol is served")
        request = tensor_json.decode(value, self._model)
        prediction = self._model.predict(request.inputs, request.signature_name)
        return tensor_json.encode(prediction, request.layout), prediction.server_timing


class _FixedRepository(ModelRepository):  # type: ignore[misc]
    """One model; who may ask for detections may not unload it over KServe's V2 API."""

    def unload(self, name: str) -> None:
        raise ServingError(StatusCode.UNIMPLEMENTED, f"{name} cannot be unloaded")


def create_server(model: ServedModel, port: int) -> RESTServer:
    """KServe's REST server with `model` in it; its application is the process's only one."""
    # The default response class of KServe's application; nothing that a user could change.
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    repository = _FixedRepository()
    repository.update(_KServeModel(model))
    plane = DataPlane(model_registry=repository)
    server = RESTServer(
        "kserve.model_server:app", plane, ModelRepositoryExtension(repository), http_port=port
    )
    # The first route that fits a URL answers: these come before KServe's, and the last after.
    app.include_router(_routes(model, V1Endpoints(plane)))
    server.create_application()
    app.add_api_route("/v1/{rest:path}", _malformed, methods=["GET", "POST"])
    _add_error_handlers(app)
    return server


def _routes(model: ServedModel, endpoints: V1Endpoints) -> APIRouter:
    async def status(name: str, version: int | None = None) -> Response:
        model.check(name, version)
        return JSONResponse(_to_json(messages.model_status(model)))

    async def metadata(name: str, version: int | None = None) -> Response:
        model.check(name, version)
        spec = messages.model_metadata(model).model_spec
        # Not the whole message: REST shows the signatures themselves, not a packed Any.
        return JSONResponse(
            {
                "model_spec": _to_json(spec),
                "metadata": {"signature_def": _to_json(messages.signature_map(model))},
            }
        )

    async def predict(request: Request, name: str, version: int | None = None) -> Any:
        model.check(name, version)
        return await endpoints.predict(name, request)

    router = APIRouter(prefix="/v1/models")
    # Before a bare {name}, which would take ":predict" for a part of the name.
    for place in ("/{name}/versions/{version:int}", "/{name}"):
        router.add_api_route(f"{place}:predict", predict, methods=["POST"], response_model=None)
        router.add_api_route(f"{place}/metadata", metadata, methods=["GET"])
        router.add_api_route(place, status, methods=["GET"])
    return router


async def _malformed(request: Request) -> Response:
    raise ServingError(
        StatusCode.INVALID_ARGUMENT, f"Malformed request: {request.method} {request.url.path}"
    )


def _add_error_handlers(application: FastAPI) -> None:
    async def failed(_: Request, error: Exception) -> Response:
        assert isinstance(error, ServingError)
        status = _HTTP_STATUS.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
        return JSONResponse({"error": error.message}, status)

    async def no_json(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": f"JSON Parse error: {error}"}, HTTPStatus.BAD_REQUEST)

    application.add_exception_handler(ServingError, failed)
    # In place of KServe's own, which logs a traceback for every client's mistake.
    application.add_exception_handler(InvalidInput, no_json)


def _to_json(message: Any) -> dict[str, Any]:
    value: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return value
