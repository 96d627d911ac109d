"""The connection to MinIO or any other S3 store: who and where, patience, and clear errors.

Address and credentials come from the environment, never from a URI: AWS_ENDPOINT_URL,
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; where the store needs them also AWS_SESSION_TOKEN and
AWS_REGION. SSL_CERT_FILE names the file of the CA that the store's certificate comes from.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from kfdet import events
from kfdet.errors import InputError, KfdetError

PATIENCE_SECONDS = 150.0
"""How long a store that answered before may be away."""

CONNECTIONS = 8
"""Requests at a time: enough to fill a network, few enough for the memory of a small machine."""

_VARIABLES = "AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_FIRST_CONTACT_SECONDS = 6.0  # for a person who mistyped the address
_LONGEST_WAIT_SECONDS = 10.0
_QUIET_SECONDS = 4.0  # a hiccup is not worth a warning
_SERVER_TROUBLE = (500, 502, 503, 504)
_PASSING = frozenset(
    (
        "BadDigest",  # damaged on the way: the store has checked what it got
        "IncompleteBody",
        "InternalError",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "XAmzContentSHA256Mismatch",
        "XMinioServerNotInitialized",
    )
)
_CREDENTIALS = frozenset(("InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"))

T = TypeVar("T")


class StoreError(InputError):
    """What the store refused; `code` is S3's name of the reason."""

    code = ""


class AwayError(KfdetError):
    """The store has not answered for longer than one waits."""


class Store:
    """One object store; usable from several threads, as a context manager.

    Args:
        uri: What is wanted from it; named in errors.
        patience: Seconds for which a store that does not answer is asked again; outside a stage
            only a store that has answered before gets so long.

    Raises:
        InputError: The environment does not say where the store is or who asks.
    """

    def __init__(self, uri: str, *, patience: float = PATIENCE_SECONDS) -> None:
        self.uri = uri
        self.patience = patience
        self.client, self._endpoint = _client(uri)
        # In a stage nobody waits who could correct an address, and its network may still be coming.
        self._known = bool(events.running_stage())
        self._closed = threading.Event()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let no thread wait for the store any longer."""
        self._closed.set()

    def do(self, what: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call `what`, again and again while the store is away.

        Args:
            what: A method of the client, or what calls some; whole again after a failure.
            args: Its arguments.
            options: Its named arguments.

        Raises:
            InputError: The store refuses (StoreError), or was never there.
            AwayError: It has gone for longer than `patience`.
        """
        import minio
        import urllib3

        began = time.monotonic()
        wait, warned = 0.2, False
        while True:
            try:
                result = what(*args, **options)
            except ValueError as error:  # minio's word for names that no store takes
                raise InputError(f"{error}.", file=self.uri) from error
            except (minio.error.MinioException, urllib3.exceptions.HTTPError) as error:
                self._known = self._known or isinstance(error, minio.error.S3Error)
                if not _may_pass(error):
                    raise self._refused(error) from error
                waited = time.monotonic() - began
                limit = self.patience if self._known else min(_FIRST_CONTACT_SECONDS, self.patience)
                if waited + wait > limit or self._closed.is_set():
                    raise self._away(error, waited) from error
                if waited > _QUIET_SECONDS and not warned:
                    warned = True
                    events.warn(f"{self._endpoint} does not answer ({_reason(error)}); waiting")
                self._closed.wait(wait)
                wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
            else:
                self._known = True
                return result

    def _away(self, error: Exception, seconds: float) -> KfdetError:
        if self._known:
            return AwayError(
                f"{self.uri}: {self._endpoint} has not answered for {seconds:.0f} s: "
                f"{_reason(error)}."
            )
        return InputError(
            f"{self._endpoint} cannot be reached: {_reason(error)}.",
            file=self.uri,
            hint="Check the network and AWS_ENDPOINT_URL.",
        )

    def _refused(self, error: Exception) -> StoreError:
        code = getattr(error, "code", None) or ""
        message = (getattr(error, "message", None) or str(error)).rstrip(".")
        bucket = self.uri.partition("://")[2].partition("/")[0]
        if distrust := _distrust(error):
            problem = f"the certificate of {self._endpoint} is not trusted: {distrust}."
            hint = "Check AWS_ENDPOINT_URL; SSL_CERT_FILE names the file of a store's own CA."
        elif code == "NoSuchBucket":
            problem = f'there is no bucket "{bucket}".'
            hint = "Check the name; `kfdet upload` makes the bucket it uploads to."
        elif code in _CREDENTIALS:
            problem = f"{self._endpoint} refuses the credentials: {message}."
            hint = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        elif code in ("AccessDenied", "AllAccessDisabled"):
            problem = f"{self._endpoint} does not allow it: {message}."
            hint = f'Check AWS_ACCESS_KEY_ID, and its rights to the bucket "{bucket}".'
        else:
            problem = f"{self._endpoint} says: {message}."
            hint = f"Check the address and {_VARIABLES}."
        refused = StoreError(problem, file=self.uri, hint=hint)
        refused.code = code
        return refused


def _client(uri: str) -> tuple[Any, str]:
    """The client, and the store's address for messages."""
    import minio
    import urllib3

    values = {
        name: os.environ.get(name, "") for name in _VARIABLES.replace(" and", ",").split(", ")
    }
    missing = [name for name, value in values.items() if not value]
    if missing:
        raise InputError(
            "needs the address of the object store and credentials.",
            file=uri,
            hint=f"Set {', '.join(missing)}.",
        )
    url, access_key, secret_key = values.values()
    endpoint = _endpoint(url, uri)
    pool = urllib3.PoolManager(
        maxsize=2 * CONNECTIONS,
        timeout=urllib3.Timeout(connect=10, read=60),
        retries=False,  # Store.do signs anew and knows how long to wait
    )
    try:
        client = minio.Minio(
            endpoint.netloc,
            access_key=access_key,
            secret_key=secret_key,
            session_token=os.environ.get("AWS_SESSION_TOKEN") or None,
            region=os.environ.get("AWS_REGION") or None,
            secure=endpoint.scheme == "https",
            http_client=pool,
        )
    except ValueError as error:
        raise InputError(
            f"the object store cannot be addressed: {error}.",
            file=uri,
            hint="Check AWS_ENDPOINT_URL and AWS_REGION.",
        ) from error
    return client, f"{endpoint.scheme}://{endpoint.netloc}"


def _endpoint(url: str, uri: str) -> SplitResult:
    """The parts of AWS_ENDPOINT_URL, of which a password must not be printed."""
    hint = "Write scheme, host and port, such as http://minio.kubeflow:9000."
    if "@" in url:
        raise InputError(
            "AWS_ENDPOINT_URL holds credentials.",
            file=uri,
            hint=f"{hint} AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are for these.",
        )
    try:
        endpoint = urlsplit(url)
        usable = endpoint.scheme in ("http", "https") and endpoint.hostname and endpoint.port != 0
    except ValueError:  # the port is no number, or a bracket is missing
        usable = False
    if not usable:
        raise InputError(f'AWS_ENDPOINT_URL is "{url}", which is no address.', file=uri, hint=hint)
    if endpoint.path.strip("/") or endpoint.query or endpoint.fragment:
        raise InputError(
            f'AWS_ENDPOINT_URL is "{url}", but buckets are looked for at the root of a host only.',
            file=uri,
            hint=hint,
        )
    return endpoint


def _may_pass(error: Exception) -> bool:
    """Whether the same request may succeed in a while."""
    import minio
    import urllib3

    if isinstance(error, urllib3.exceptions.HTTPError):
        return not _distrust(error)
    if isinstance(error, minio.error.S3Error):
        return error.code in _PASSING or error.response.status in _SERVER_TROUBLE
    status = getattr(error, "status_code", None) or getattr(error, "_code", None)
    return status in _SERVER_TROUBLE


def _distrust(error: Exception) -> str:
    """Why a certificate is not trusted; "" where that is not the trouble."""
    cause = error.args[0] if error.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        return str(cause.verify_message).rstrip(".")
    return ""


def _reason(error: Exception) -> str:
    """The last part of what urllib3 says, which begins with the connection's representation."""
    return (getattr(error, "message", None) or str(error)).rpartition("): ")[2].rstrip(".")
