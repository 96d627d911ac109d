"""Import an image's archive into containerd without the layers that it already has: most of them.

The archive is Docker's (https://github.com/moby/docker-image-spec), of which containerd needs every
layer. It does not need every layer of an OCI layout (https://github.com/opencontainers/image-spec).
"""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import IO

import containerd
from processes import ClusterError

_Description = dict[str, object]


def import_archive(archive: Path, image: str) -> None:
    """Put the only image of an archive on the node, named `image`."""
    layout = archive.with_name("layout.tar")
    with tarfile.open(archive) as source, tarfile.open(layout, "w") as target:
        index = {"schemaVersion": 2, "manifests": [_copy(source, target, image)]}
        _add(target, "index.json", json.dumps(index).encode())
        _add(target, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    archive.unlink()
    containerd.ctr("images", "import", layout)


def _copy(source: tarfile.TarFile, target: tarfile.TarFile, image: str) -> _Description:
    """Copy manifest, configuration and new layers; return the manifest's entry in the index."""
    known = set(containerd.ctr("content", "list", "--quiet").split())
    (entry,) = json.load(_open(source, "manifest.json"))
    layers = []
    for name in entry["Layers"]:
        digest = name.removesuffix(".tar")
        member = source.getmember(name)
        layers.append(_description("layer.v1.tar", digest, member.size))
        if f"sha256:{digest}" not in known:
            content = _open(source, name)
            member.name = f"blobs/sha256/{digest}"
            target.addfile(member, content)
    config = _add_blob(target, "config.v1+json", _open(source, entry["Config"]).read())
    manifest = {"schemaVersion": 2, "config": config, "layers": layers}
    described = _add_blob(target, "manifest.v1+json", json.dumps(manifest).encode())
    return {**described, "annotations": {"io.containerd.image.name": image}}


def _add_blob(target: tarfile.TarFile, kind: str, content: bytes) -> _Description:
    digest = hashlib.sha256(content).hexdigest()
    _add(target, f"blobs/sha256/{digest}", content)
    return _description(kind, digest, len(content))


def _description(kind: str, digest: str, size: int) -> _Description:
    media_type = f"application/vnd.oci.image.{kind}"
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _add(target: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    target.addfile(member, io.BytesIO(content))


def _open(source: tarfile.TarFile, name: str) -> IO[bytes]:
    content = source.extractfile(name)
    if content is None:
        raise ClusterError(f"{name} of an image's archive is not a file")
    return content
