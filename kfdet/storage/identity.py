"""Credentials that the cloud gives to a pod: no key is stored anywhere.

Amazon's chain: the role of the pod's ServiceAccount (IRSA), EKS Pod Identity or a container's role,
the role of the node. botocore finds and renews them, and both clients ask it.
"""

from __future__ import annotations

import os
from typing import Any

_ATTEMPTS, _SECONDS = 3, 2
"""Of a metadata service, which answers late where many pods of a node start at once."""


class IdentityProvider:
    """A session's credentials as minio.credentials.Provider, which is asked before each request."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def retrieve(self) -> Any:
        """The minio.credentials.Credentials of the moment."""
        from minio.credentials import Credentials

        keys = self._session.get_credentials().get_frozen_credentials()
        return Credentials(keys.access_key, keys.secret_key, keys.token)


def identity_session(region: str) -> Any | None:
    """A botocore session with the credentials of this pod; None where it has none.

    Args:
        region: Where they are asked for; "": botocore's default.
    """
    session = new_session()
    if region:
        session.set_config_variable("region", region)
    # AWS_ENDPOINT_URL is the store's address; what hands out the credentials has its own
    session.set_config_variable("ignore_configured_endpoint_urls", True)
    session.set_config_variable("metadata_service_num_attempts", _ATTEMPTS)
    session.set_config_variable("metadata_service_timeout", _SECONDS)
    return session if session.get_credentials() else None


def new_session() -> Any:
    """A botocore session that reads no AWS profile and none of its files."""
    import botocore.session

    nothing = (None, None, os.devnull, None)
    return botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": nothing,
            "credentials_file": nothing,
        }
    )
