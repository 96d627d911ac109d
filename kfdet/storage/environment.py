"""Address and credentials of the object store, which come from the environment, never from a URI.

AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; where the store needs them also
AWS_SESSION_TOKEN and AWS_REGION. SSL_CERT_FILE names the file of the CA that signed the store's
certificate.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from kfdet.errors import InputError

REQUIRED = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_OPTIONAL = ("AWS_SESSION_TOKEN", "AWS_REGION")
_URL_HINT = "Write scheme, host and port, such as http://minio.kubeflow:9000."


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach an object store.

    Args:
        scheme: "http" or "https".
        host: Host and port.
        access_key: Name of the account.
        secret_key: Its secret.
        session_token: Of temporary credentials, else "".
        region: "" where the store may choose.
    """

    scheme: str
    host: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)
    region: str

    @property
    def url(self) -> str:
        """The store's address, without credentials."""
        return f"{self.scheme}://{self.host}"


def read_connection(uri: str) -> Connection:
    """The connection that the environment describes.

    Args:
        uri: The bucket's URI, for messages.

    Raises:
        InputError: A variable is missing or not usable; its value is not shown where it is secret.
    """
    # A Secret that was made with `echo` ends with a line break.
    values = {name: os.environ.get(name, "").strip() for name in (*REQUIRED, *_OPTIONAL)}
    missing = [name for name in REQUIRED if not values[name]]
    if missing:
        raise InputError(
            "needs the address of the object store and credentials.",
            file=uri,
            hint=f"Set {', '.join(missing)}.",
        )
    for name, value in values.items():
        if not (value.isascii() and value.isprintable()):
            raise InputError(
                f"{name} contains a character that is not printable ASCII, such as a line break.",
                file=uri,
                hint="Set it again, without quotes and on one line.",
            )
    url, access_key, secret_key, session_token, region = values.values()
    scheme, host = _endpoint(url, uri)
    return Connection(scheme, host, access_key, secret_key, session_token, region)


def _endpoint(url: str, uri: str) -> tuple[str, str]:
    """Scheme and host of AWS_ENDPOINT_URL, in which a password must not be printed."""
    if "@" in url:
        raise InputError(
            "AWS_ENDPOINT_URL contains credentials.",
            file=uri,
            hint=f"{_URL_HINT} Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead.",
        )
    try:
        endpoint = urlsplit(url)
        usable = endpoint.scheme in ("http", "https") and endpoint.hostname and endpoint.port != 0
    except ValueError:  # the port is not a number, or a bracket is missing
        usable = False
    if not usable:
        raise InputError(
            f'AWS_ENDPOINT_URL is "{url}", which is not an address.', file=uri, hint=_URL_HINT
        )
    if endpoint.path.strip("/") or endpoint.query or endpoint.fragment:
        raise InputError(
            f'AWS_ENDPOINT_URL is "{url}", but buckets must be at the root of the host.',
            file=uri,
            hint=_URL_HINT,
        )
    return endpoint.scheme, endpoint.netloc
