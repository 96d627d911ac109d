"""The metadata store's gRPC interface over the ml-metadata wheel and an SQLite file.

Kubeflow Pipelines up to 2.17 asks an ML Metadata server about executions and artifacts. Its own
server is C++ and comes only as an image; the wheel holds the same store as a library. Runs in its
own virtual environment, because the wheel needs an old protobuf.

usage: metadata_server.py ADDRESS DATABASE
"""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from ml_metadata.metadata_store.pywrap.metadata_store_extension import (  # type: ignore[import-not-found]
    metadata_store,
)
from ml_metadata.proto import (  # type: ignore[import-not-found]
    metadata_store_pb2,
    metadata_store_service_pb2,
)


def main(address: str, database: str) -> None:
    """Serve until the process is ended."""
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = database
    options = metadata_store_pb2.MigrationOptions()
    store = metadata_store.CreateMetadataStore(
        connection.SerializeToString(), options.SerializeToString()
    )
    lock = threading.Lock()  # SQLite allows one writer, and the library does not wait

    def handler(method: Callable[..., tuple[bytes, bytes, int]]) -> Any:
        def call(request: bytes, context: grpc.ServicerContext) -> bytes:
            with lock:
                answer, message, code = method(store, request)
            if code:
                status = next(item for item in grpc.StatusCode if item.value[0] == code)
                context.abort(status, message.decode())
            return answer

        return grpc.unary_unary_rpc_method_handler(call)

    service = metadata_store_service_pb2.DESCRIPTOR.services_by_name["MetadataStoreService"]
    methods = {name: getattr(metadata_store, name, None) for name in service.methods_by_name}
    handlers = {name: handler(method) for name, method in methods.items() if method}
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(service.full_name, handlers)]
    )
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
