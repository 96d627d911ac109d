from __future__ import annotations

from typing import Any

import pytest

from kfdet.storage.clients import minio_client, multipart_client
from kfdet.storage.environment import Connection


class SeenError(Exception):
    """Instead of a request."""


@pytest.mark.parametrize(
    ("host", "bucket", "address"),
    [
        ("minio:9000", "toys", "https://minio:9000/toys/a"),
        ("10.0.0.1", "toys", "https://10.0.0.1/toys/a"),
        ("s3.amazonaws.com", "toys", "https://toys.s3.amazonaws.com/a"),
        ("s3.amazonaws.com", "my.toys", "https://s3.amazonaws.com/my.toys/a"),
        ("s3.eu-central-1.amazonaws.com", "toys", "https://toys.s3.eu-central-1.amazonaws.com/a"),
        ("oss-cn-beijing.aliyuncs.com", "toys", "https://toys.oss-cn-beijing.aliyuncs.com/a"),
        ("notamazonaws.com", "toys", "https://notamazonaws.com/toys/a"),
    ],
)
def test_large_files_go_where_small_ones_go(host: str, bucket: str, address: str) -> None:
    def see(request: Any, **_: Any) -> None:
        raise SeenError(request.url)

    connection = Connection("https", host, "someone", "hidden-word", "", "")
    client = multipart_client(connection)
    client.meta.events.register("before-send.s3", see)
    with pytest.raises(SeenError) as seen:
        client.create_multipart_upload(Bucket=bucket, Key="a")
    assert str(seen.value) == f"{address}?uploads"
    signed = minio_client(
        Connection("https", host, "someone", "hidden-word", "", "eu-central-1"), ""
    ).presigned_get_object(bucket, "a")
    assert signed.partition("?")[0].replace(".dualstack", "") in (
        address,
        address.replace("s3.amazonaws", "s3.eu-central-1.amazonaws"),
    )


def test_a_part_is_sent_as_bytes_and_not_in_small_blocks() -> None:
    sent = []

    def see(request: Any, **_: Any) -> None:
        sent.append(request.body)
        raise SeenError

    client = multipart_client(Connection("http", "minio:9000", "someone", "hidden-word", "", ""))
    client.meta.events.register_last("before-send.s3.UploadPart", see)
    with pytest.raises(SeenError):
        client.upload_part(Bucket="toys", Key="a", UploadId="1", PartNumber=1, Body=b"part")
    assert sent == [b"part"]
