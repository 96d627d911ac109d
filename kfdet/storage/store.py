"""A connection to MinIO or any other S3 store: retries in an outage, and clear errors."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar

from kfdet import events
from kfdet.errors import InputError, KfdetError, PlaceError
from kfdet.storage.address import BucketPath
from kfdet.storage.clients import minio_client, multipart_client
from kfdet.storage.environment import REQUIRED, read_connection
from kfdet.storage.failures import Failure, explain

RETRY_SECONDS = 150.0
"""How long a store that answered before may be unreachable."""

_FIRST_CONTACT_SECONDS = 6.0  # for a person who mistyped the address
_LONGEST_WAIT_SECONDS = 10.0
_QUIET_SECONDS = 4.0  # a hiccup is not worth a warning
_CREDENTIALS = frozenset(("InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"))

T = TypeVar("T")


class StoreError(PlaceError):
    """A refusal of the store; `code` is S3's name of the reason."""

    code = ""


class StoreUnavailableError(KfdetError):
    """The store did not answer within the retry timeout."""


class Store:
    """One object store; usable from several threads, as a context manager.

    Args:
        uri: Bucket URI, for error messages.
        retry_seconds: How long requests are repeated while the store does not answer; outside a
            stage only a store that has answered before gets so long.

    Attributes:
        client: minio.Minio, for everything but the parts of large files.

    Raises:
        InputError: The environment lacks the store's address or the credentials.
    """

    def __init__(self, uri: str, *, retry_seconds: float = RETRY_SECONDS) -> None:
        BucketPath.parse(uri)  # before it is shown in any message
        self.uri = uri
        self.retry_seconds = retry_seconds
        self._connection = read_connection(uri)
        self.client = minio_client(self._connection, uri)
        # In a stage no user is there to correct an address, and its network may not be ready yet.
        self._known = bool(events.running_stage())
        self._closed = threading.Event()

    @functools.cached_property
    def multipart_client(self) -> Any:
        """A botocore client, for multipart uploads; made when it is needed."""
        return multipart_client(self._connection)

    @property
    def is_encrypted(self) -> bool:
        """Whether requests travel over HTTPS."""
        return self._connection.scheme == "https"

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

    def call_with_retries(self, what: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call `what`, again and again while the store is unreachable.

        Args:
            what: A method of a client, or a function that calls some; can be repeated.
            args: Its arguments.
            options: Its named arguments.

        Raises:
            InputError: The store refuses (StoreError), or never answered.
            StoreUnavailableError: It did not answer for `retry_seconds`.
        """
        began = time.monotonic()
        wait, warned = 0.2, False
        while True:
            try:
                result = what(*args, **options)
            except Exception as error:
                failure = self._explain(error)
                if failure is None:
                    if isinstance(error, ValueError):  # of the MinIO client: an impossible name
                        problem = self._connection.hide(f"{error}.")
                        raise InputError(problem, file=self.uri) from error
                    raise
                self._known = self._known or bool(failure.code)
                if not failure.transient:
                    raise self._refused(failure) from error
                waited = time.monotonic() - began
                limit = self.retry_seconds
                if not self._known:
                    limit = min(_FIRST_CONTACT_SECONDS, limit)
                if waited + wait > limit or self._closed.is_set():
                    raise self._unavailable(failure, waited) from error
                if waited > _QUIET_SECONDS and not warned:
                    warned = True
                    events.warn(f"{self._url} does not answer ({failure.reason}); waiting")
                self._closed.wait(wait)
                wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
            else:
                self._known = True
                return result

    @property
    def _url(self) -> str:
        return self._connection.url

    def _explain(self, error: Exception) -> Failure | None:
        """What an exception means, without the credentials that an answer may repeat."""
        failure = explain(error)
        if failure is None:
            return None
        hide = self._connection.hide
        return replace(failure, reason=hide(failure.reason), untrusted=hide(failure.untrusted))

    def _unavailable(self, failure: Failure, seconds: float) -> KfdetError:
        if self._known:
            return StoreUnavailableError(
                f"{self.uri}: {self._url} has not answered for {seconds:.0f} s: {failure.reason}."
            )
        return InputError(
            f"{self._url} cannot be reached: {failure.reason}.",
            file=self.uri,
            hint="Check the network and AWS_ENDPOINT_URL.",
        )

    def _refused(self, failure: Failure) -> StoreError:
        bucket = self.uri.partition("://")[2].partition("/")[0]
        if failure.untrusted:
            problem = f"the certificate of {self._url} is not trusted: {failure.untrusted}."
            hint = "Check AWS_ENDPOINT_URL; SSL_CERT_FILE names the file of a store's own CA."
        elif failure.code == "NoSuchBucket":
            problem = f'there is no bucket "{bucket}".'
            hint = "Check the name; `kfdet upload` creates the bucket it uploads to."
        elif failure.code in _CREDENTIALS:
            problem = f"{self._url} refuses the credentials: {failure.reason}."
            hint = f"Check {self._who('AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY')}."
        elif failure.code == "ExpiredToken":
            problem = f"{self._url} no longer takes these temporary credentials: {failure.reason}."
            hint = f"Set new {', '.join(REQUIRED[1:])} and AWS_SESSION_TOKEN."
        elif failure.code in ("AccessDenied", "AllAccessDisabled"):
            problem = f"{self._url} does not allow it: {failure.reason}."
            hint = (
                f'Check {self._who("AWS_ACCESS_KEY_ID")}, and its rights to the bucket "{bucket}".'
            )
        else:
            problem = f"{self._url} answers: {failure.reason}."
            hint = f"Check {', '.join(REQUIRED[:-1])} and {REQUIRED[-1]}."
        refused = StoreError(problem, file=self.uri, hint=hint)
        refused.code = failure.code
        return refused

    def _who(self, variables: str) -> str:
        """Where the credentials come from: these variables, or the cloud."""
        return "the role of the pod's ServiceAccount" if self._connection.identity else variables
