"""HTTP requests that are too large or never end: refused before anything else looks at them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse
from uvicorn.protocols.http.auto import AutoHTTPProtocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]

_HEADER_SECONDS = 10.0
_HEADER_BYTES = 64 << 10
_BODY_SECONDS = 60.0
_DRAIN_SECONDS = 5.0
_SMALL_BYTES = 2 << 20
_LARGE_BODIES = 8
"""Bodies of the full size that may be on their way at once; small ones always may."""


class BodyLimit:
    """ASGI middleware that takes a whole body before the application runs, or refuses it.

    Args:
        application: What answers the request.
        most: Bytes of a body.
    """

    def __init__(self, application: Application, most: int) -> None:
        self._application, self._most = application, most
        self._on_their_way = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request; 413, 408 and 429 tell what is wrong with its body."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        declared = _declared(scope)
        body = bytearray()
        try:
            refusal = None if declared <= self._most else self._too_large()
            async with asyncio.timeout(_BODY_SECONDS):
                more = refusal is None
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    part = message.get("body", b"")
                    body += part
                    self._on_their_way += len(part)
                    more = message.get("more_body", False)
                    refusal = self._refusal(len(body))
                    if refusal is not None:
                        break
        except TimeoutError:
            refusal = _refused(
                HTTPStatus.REQUEST_TIMEOUT, f"The body did not arrive within {_BODY_SECONDS:.0f} s"
            )
        finally:
            self._on_their_way -= len(body)
        if refusal is not None:
            body.clear()
            await _drain(scope, receive)
            await refusal(scope, receive, send)
            return
        await self._application(scope, _Replay(bytes(body), receive), send)

    def _refusal(self, size: int) -> JSONResponse | None:
        if size > self._most:
            return self._too_large()
        if size > _SMALL_BYTES and self._on_their_way > _LARGE_BODIES * self._most:
            return _refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                "The server is busy: too many large requests are on their way. Send it later.",
            )
        return None

    def _too_large(self) -> JSONResponse:
        return _refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The request's body has more than {self._most >> 20} MiB (--max-request-mib)",
        )


class _Replay:
    """The body that was received, as the application's `receive`."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _declared(scope: Any) -> int:
    """The length of the body that the headers state; 0 where they state none."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and len(value) <= 18:
            return int(value)
    return 0


def _refused(status: HTTPStatus, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status, headers={"connection": "close"})


async def _drain(scope: Any, receive: Receive) -> None:
    """Take what still arrives for a while: most clients read an answer only when all is sent."""
    if (b"expect", b"100-continue") in scope["headers"]:
        return
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


class TimedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's protocol, which closes connections whose header does not come or does not end."""

    _timer: asyncio.TimerHandle | None = None
    _received = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Called by the event loop."""
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        before = self.cycle
        between = before is None or before.response_complete
        if between and self._timer is None:
            self._start()
        super().data_received(data)
        if self.cycle is not before:
            self._stop()
        elif between:
            self._received += len(data)
            if self._received > _HEADER_BYTES:
                self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._stop()
        super().connection_lost(exc)

    def _start(self) -> None:
        self._received = 0
        self._timer = self.loop.call_later(_HEADER_SECONDS, self._close)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        self._stop()
        if not self.transport.is_closing():
            self.transport.close()
