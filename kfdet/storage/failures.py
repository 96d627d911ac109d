"""What a failed request means, whichever client made it."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass

_TRY_AGAIN = (429, 500, 502, 503, 504)
_TRANSIENT = frozenset(
    (
        "BadDigest",  # damaged on the way: the store has checked what it got
        "IncompleteBody",
        "InternalError",
        "OperationAborted",  # somebody else makes the same bucket just now
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "XAmzContentSHA256Mismatch",
        "XMinioServerNotInitialized",
    )
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed request.

    Args:
        reason: What happened, without a full stop.
        code: S3's name of the reason; "" where the answer does not come from a store.
        untrusted: Why the store's certificate is not trusted; "" where that is not the trouble.
        transient: Whether the same request may succeed in a while.
    """

    reason: str
    code: str = ""
    untrusted: str = ""
    transient: bool = False


def explain(error: Exception) -> Failure | None:
    """The failure behind an exception; None where it is not the failure of a request."""
    import minio.error
    import urllib3
    from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError

    if isinstance(error, ClientError):
        answer = error.response
        return _refused(
            answer["Error"].get("Code"),
            answer["Error"].get("Message") or str(error),
            answer["ResponseMetadata"]["HTTPStatusCode"],
        )
    if isinstance(error, minio.error.S3Error):
        return _refused(error.code, error.message or str(error), error.response.status)
    if isinstance(error, minio.error.ServerError):
        return _refused("", str(error), error.status_code)
    if isinstance(error, minio.error.InvalidResponseError):  # its status has no public name
        found = re.search(r"Response code: (\d+)", str(error))
        return _refused("", str(error), int(found[1]) if found else 0)
    if isinstance(error, BotoCoreError):
        cause = error.kwargs.get("error")  # urllib3's exception, where the network is the trouble
        if not isinstance(cause, Exception):
            cut_off = isinstance(error, IncompleteReadError)
            return Failure(str(error).rstrip("."), transient=cut_off)
        return explain(cause) or Failure(str(cause).rstrip("."), transient=True)
    if isinstance(error, urllib3.exceptions.HTTPError):
        untrusted = _certificate_error(error)
        # urllib3's text begins with the representation of the connection.
        reason = str(error).rpartition("): ")[2].rstrip(".")
        return Failure(reason, untrusted=untrusted, transient=not untrusted)
    if isinstance(error, minio.error.MinioException):
        return Failure(str(error).rstrip("."))
    return None


def _refused(code: str | None, message: str, status: int) -> Failure:
    transient = code in _TRANSIENT or status in _TRY_AGAIN
    return Failure(message.rstrip("."), code or "", transient=transient)


def _certificate_error(error: Exception) -> str:
    cause = error.args[0] if error.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        return str(cause.verify_message).rstrip(".")
    return ""
