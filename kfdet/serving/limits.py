"""What one request may ask of the server, so that it stays up and quick for all others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of `kfdet serve`, for REST and gRPC alike.

    The defaults bound the worst single request to about half a GB above the model's own memory and
    a few seconds on two cores.

    Args:
        request_mib: Size of a request's body, as sent: over REST, base64 takes a third more than
            the picture.
        batch: Pictures (or rows of other inputs) of one request.
        megapixels: Of all pictures of one request together; known from their headers, before
            anything is decoded.
        waiting: Requests that wait for their turn; more are refused at once, to be sent again
            later. Of large requests an eighth of it waits.
    """

    request_mib: int = 32
    batch: int = 32
    megapixels: int = 64
    waiting: int = 32

    @property
    def request_bytes(self) -> int:
        """Bytes of a request's body."""
        return self.request_mib << 20

    @property
    def pixels(self) -> int:
        """Pixels of all pictures of a request."""
        return self.megapixels * 1_000_000
