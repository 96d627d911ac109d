"""What an exception of a client means."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, IncompleteReadError

from kfdet.storage.failures import explain


def refusal(code: str, status: int) -> ClientError:
    answer = {
        "Error": {"Code": code, "Message": "Please try again."},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "PutObject")


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (refusal("AccessDenied", 403), False),
        (refusal("SlowDown", 503), True),
        (refusal("TooManyRequests", 429), True),
        (refusal("OperationAborted", 409), True),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), True),
    ],
)
def test_what_may_succeed_in_a_while(error: Exception, transient: bool) -> None:
    failure = explain(error)
    assert failure is not None
    assert failure.transient == transient
