"""Address and credentials of the object store, which come from the environment, never from a URI.

AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; where the store needs them also
AWS_SESSION_TOKEN and AWS_REGION. SSL_CERT_FILE names the file of the CA that signed the store's
certificate. In a pod without keys, the credentials are those that the cloud gives to it, and the
address is Amazon's where its ServiceAccount has a role there.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from kfdet.errors import InputError

REQUIRED = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_OPTIONAL = ("AWS_SESSION_TOKEN", "AWS_REGION")
_ROLE_VARIABLES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
"""Set by Amazon in a pod whose ServiceAccount has a role: IRSA, EKS Pod Identity, ECS."""
_POD_VARIABLE = "KUBERNETES_SERVICE_HOST"
_REGION = re.compile(r"[A-Za-z0-9_-]{0,32}")
_SHORTEST_SECRET = 6
"""Shorter ones would make words of a message unreadable."""
_URL_HINT = "Write scheme, host and port, such as http://minio.kubeflow:9000."


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach an object store.

    Args:
        scheme: "http" or "https".
        host: Host and port.
        access_key: Name of the account; "" where the cloud gives the credentials.
        secret_key: Its secret, or "".
        session_token: Of temporary credentials, else "".
        region: "" where the store may choose.
        identity: botocore session with the cloud's credentials; None where there are keys.
    """

    scheme: str
    host: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)
    region: str
    identity: Any = field(default=None, repr=False)

    def hide(self, text: str) -> str:
        """`text` without the credentials, which a store's answer may repeat."""
        for secret in (self.secret_key, self.session_token, self.access_key):
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return text

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
    values = {name: read_credential(name, uri) for name in (*REQUIRED, *_OPTIONAL)}
    url, access_key, secret_key, session_token, region = values.values()
    if not _REGION.fullmatch(region):
        raise InputError(
            "AWS_REGION is not the name of a region; it is not shown, as it may be a credential.",
            file=uri,
            hint="Set it to a name such as us-east-1, or leave it out.",
        )
    has_role = any(os.environ.get(name) for name in _ROLE_VARIABLES)
    # outside a pod there is no metadata service to wait for
    asks_the_cloud = not (access_key or secret_key) and (has_role or _POD_VARIABLE in os.environ)
    if asks_the_cloud and has_role and not url:
        url = f"https://s3.{region}.amazonaws.com" if region else "https://s3.amazonaws.com"
    missing = [name for name in REQUIRED if not values[name]]
    if not url or (missing and not asks_the_cloud):
        raise _lacking(missing, uri)
    scheme, host = _endpoint(url, uri)
    identity = None
    if asks_the_cloud:
        from kfdet.storage.identity import identity_session

        if not (identity := identity_session(region)):
            raise _lacking(missing, uri)
    return Connection(scheme, host, access_key, secret_key, session_token, region, identity)


def _lacking(missing: list[str], uri: str) -> InputError:
    hint = f"Set {', '.join(missing)}."
    if _POD_VARIABLE in os.environ:
        hint += (
            " In a run they come from the Secret kfdet-storage of its namespace, or the cloud "
            "gives the credentials to the pods' ServiceAccount: docs/kubernetes.md."
        )
    return InputError("needs the address of the object store and credentials.", file=uri, hint=hint)


def read_credential(name: str, place: str) -> str:
    """An environment variable that may be secret, without spaces around it; "" where it is not set.

    A Secret that was made with `echo` ends with a line break.

    Args:
        name: The variable.
        place: What it is needed for, for the message.

    Raises:
        InputError: No header of HTTP could hold it; the value is not shown.
    """
    value = os.environ.get(name, "").strip()
    if not (value.isascii() and value.isprintable()):
        raise InputError(
            f"{name} contains a character that is not printable ASCII, such as a line break.",
            file=place,
            hint="Set it again, without quotes and on one line.",
        )
    return value


def _endpoint(url: str, uri: str) -> tuple[str, str]:
    """Scheme and host of AWS_ENDPOINT_URL, in which a password must not be printed."""
    if "@" in url:
        raise InputError(
            "AWS_ENDPOINT_URL contains credentials.",
            file=uri,
            hint=f"{_URL_HINT} Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead.",
        )
    # A secret in the wrong variable has neither.
    shown = f' "{url}",' if "." in url or ":" in url else ""
    try:
        endpoint = urlsplit(url)
        usable = endpoint.scheme in ("http", "https") and endpoint.hostname and endpoint.port != 0
    except ValueError:  # the port is not a number, or a bracket is missing
        usable = False
    if not usable:
        raise InputError(
            f"AWS_ENDPOINT_URL is{shown} {'which is ' if shown else ''}not an address.",
            file=uri,
            hint=_URL_HINT,
        )
    if endpoint.path.strip("/") or endpoint.query or endpoint.fragment:
        raise InputError(
            f'AWS_ENDPOINT_URL is "{url}", but buckets must be at the root of the host.',
            file=uri,
            hint=_URL_HINT,
        )
    return endpoint.scheme, endpoint.netloc
