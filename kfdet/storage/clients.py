"""The two clients of an object store: MinIO's, and botocore's for the parts of large files.

The MinIO client has no public calls to continue an interrupted upload or to send the parts of
several files side by side; botocore, the client below boto3, has. Both get the same address,
credentials, trust and timeouts, ignore proxies and AWS profiles, and never repeat a request
themselves: Store.call_with_retries does.
"""

from __future__ import annotations

import io
import os
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kfdet.errors import InputError
from kfdet.storage.environment import Connection

CONNECTIONS = 8
"""Requests at a time: enough to fill a network, few enough for the memory of a small machine."""

_POOL_SIZE = 2 * CONNECTIONS
_CONNECT_SECONDS = 10
_BUCKET_IN_HOST = (".amazonaws.com", ".amazonaws.com.cn", ".aliyuncs.com")
_READ_SECONDS = 60


def minio_client(connection: Connection, uri: str) -> Any:
    """A minio.Minio.

    Args:
        connection: Address and credentials.
        uri: The bucket's URI, for messages.

    Raises:
        InputError: The client refuses the host or the region.
    """
    import minio
    import urllib3

    from kfdet.storage.identity import IdentityProvider

    pool = urllib3.PoolManager(
        maxsize=_POOL_SIZE,
        timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
        retries=False,
    )
    try:
        return minio.Minio(
            connection.host,
            access_key=connection.access_key or None,
            secret_key=connection.secret_key or None,
            session_token=connection.session_token or None,
            credentials=IdentityProvider(connection.identity) if connection.identity else None,
            region=connection.region or None,
            secure=connection.scheme == "https",
            http_client=pool,
        )
    except ValueError as error:
        raise InputError(
            f"the object store's address is not usable: {error}.",
            file=uri,
            hint="Check AWS_ENDPOINT_URL and AWS_REGION.",
        ) from error


def multipart_client(connection: Connection) -> Any:
    """A botocore client of the service "s3"; it finds out the region of a bucket by itself."""
    from botocore.config import Config

    from kfdet.storage.identity import new_session

    session = connection.identity or new_session()
    client = session.create_client(
        "s3",
        endpoint_url=connection.url,
        aws_access_key_id=connection.access_key or None,
        aws_secret_access_key=connection.secret_key or None,
        aws_session_token=connection.session_token or None,
        region_name=connection.region or "us-east-1",
        verify=_ca_file(),
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": _addressing_style(connection)},
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            max_pool_connections=_POOL_SIZE,
            retries={"total_max_attempts": 1},
            proxies={},
            use_dualstack_endpoint=False,
            use_fips_endpoint=False,
            # Checksums in trailers, the default, are unknown to older stores.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    client.meta.events.register("before-send.s3.UploadPart", _send_at_once)
    return client


def _send_at_once(request: Any, **_: Any) -> None:
    """Give a part to the connection as the bytes it is.

    botocore makes a file of them, which the connection would read and send in blocks of 16 KB.
    """
    if isinstance(request.body, io.BytesIO):
        request.body = request.body.getvalue()


def _addressing_style(connection: Connection) -> str:
    """Where the bucket's name goes: into the host where the MinIO client puts it there as well.

    AWS answers for buckets of other regions only there, Aliyun for all of them.
    """
    host = urlsplit(connection.url).hostname or ""
    return "virtual" if host.endswith(_BUCKET_IN_HOST) else "path"


def _ca_file() -> str | None:
    """The certificates that OpenSSL trusts, as a file; None: those that come with botocore.

    Without it botocore would trust neither SSL_CERT_FILE nor a company's CA in the system's store.
    """
    paths = ssl.get_default_verify_paths()
    system = Path(paths.capath or os.devnull, "ca-certificates.crt")  # Debian's, Alpine's
    return paths.cafile or (str(system) if system.is_file() else None)
