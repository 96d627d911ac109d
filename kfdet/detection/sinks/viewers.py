"""Detections as they come: in a window, or on a page of this machine where there is no display."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import simplejpeg
from PIL import Image

from kfdet.detection.pictures import Picture
from kfdet.detection.stream import FrameDetections, Sink, StreamEnd

_TITLE = "kfdet: q ends"
_PORT = 8090
_QUALITY = 80
_TIMEOUT_SECONDS = 10
"""How long a browser may neither ask nor read."""
_PAGE = b"""<!doctype html><meta charset="utf-8"><title>kfdet</title>
<style>body{margin:0;background:#222}img{display:block;margin:auto;max-width:100%}</style>
<img src="/stream" alt="detections">"""


class WindowSink:
    """A window; closing it, q or Escape ends the stream. Used by the main thread only.

    Raises:
        RuntimeError: There is no display, or Python has no Tk.
    """

    pictures = True

    def __init__(self) -> None:
        # Tk comes with Python; the OpenCV that kfdet installs has no windows.
        try:
            import tkinter

            from PIL import ImageTk
        except ImportError as error:
            raise RuntimeError("Python has no Tk.") from error
        self._photo_of = ImageTk.PhotoImage
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise RuntimeError(str(error)) from error
        self._gone = tkinter.TclError
        self._closed = False
        self._photo: Any = None
        self._root.title(_TITLE)
        self._root.protocol("WM_DELETE_WINDOW", self._end)
        for key in ("q", "<Escape>"):
            self._root.bind(key, self._end)
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()

    def _end(self, *_: object) -> None:
        self._closed = True

    def write(self, picture: Picture | None, _: FrameDetections) -> None:
        """Show the picture.

        Raises:
            StreamEnd: The user has closed the window.
        """
        if picture is not None:
            self._photo = self._photo_of(Image.fromarray(picture))
            self._label.configure(image=self._photo)
        self._root.update()
        if self._closed:
            raise StreamEnd

    def close(self) -> None:
        """Remove the window."""
        with suppress(self._gone):
            self._root.destroy()


class _PageServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing where a browser has left or hangs: the terminal shows progress."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class PageSink:
    """A page that a browser on this machine shows: a Motion JPEG stream of the newest pictures."""

    pictures = True

    def __init__(self) -> None:
        self._jpeg, self._number, self._ended = b"", 0, False
        self._changed = threading.Condition()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            timeout = _TIMEOUT_SECONDS

            def do_GET(self) -> None:
                sink.answer(self)

            def log_message(self, *_: object) -> None:
                """Nothing: the terminal shows progress."""

        try:
            self._server = _PageServer(("127.0.0.1", _PORT), Handler)
        except OSError:  # another one is there
            self._server = _PageServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def write(self, picture: Picture | None, _: FrameDetections) -> None:
        """Let every browser show the picture; a slow one leaves some out."""
        if picture is None:
            return
        jpeg = simplejpeg.encode_jpeg(picture, _QUALITY, colorsubsampling="420")
        with self._changed:
            self._jpeg, self._number = jpeg, self._number + 1
            self._changed.notify_all()

    def close(self) -> None:
        """End the streams and the server."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Send the page, or the pictures for as long as they come."""
        if request.path == "/":
            request.send_response(200)
            request.send_header("Content-Type", "text/html; charset=utf-8")
            request.send_header("Content-Length", str(len(_PAGE)))
            request.end_headers()
            request.wfile.write(_PAGE)
        elif request.path == "/stream":
            request.send_response(200)
            request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            request.send_header("Cache-Control", "no-store")
            request.end_headers()
            self._send_pictures(request)
        else:
            request.send_error(404)

    def _send_pictures(self, request: BaseHTTPRequestHandler) -> None:
        sent = 0
        while True:
            with self._changed:
                while self._number == sent and not self._ended:
                    self._changed.wait()
                if self._ended:
                    return
                sent, jpeg = self._number, self._jpeg
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            request.wfile.write(head.encode() + jpeg + b"\r\n")


def open_viewer() -> Sink:
    """A window where there is a display, else a page."""
    display = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if display:
        with suppress(RuntimeError):
            return WindowSink()
    return PageSink()
