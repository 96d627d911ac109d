"""Pairs annotations with the videos and images of a dataset.

Annotations find their video by the file name they state, then by their own name, then by being the
only ones; they find their image by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kfdet.dataset.formats.model import SourceAnnotations
from kfdet.dataset.media_index import MediaIndex, gather_frames
from kfdet.errors import Problem

_COMMON_STEMS = frozenset(("annotations", "default", "gt", "instances_default", "result"))
"""Names that tools give to every export; the folder's name is more telling."""


def pair(
    root: Path,
    sources: Iterable[SourceAnnotations],
    videos: Sequence[str],
    images: Sequence[str],
    problems: list[Problem],
) -> Iterator[tuple[SourceAnnotations, str]]:
    """Pairs of annotations and the media they belong to; no video or image appears twice.

    Args:
        root: The dataset's folder.
        sources: What was read from its annotation files.
        videos: Its videos, relative to `root` with forward slashes.
        images: Its images, likewise.
        problems: Gets what does not fit together.
    """
    indices = {"video": MediaIndex(videos), "image": MediaIndex(images)}
    claims: defaultdict[str, list[SourceAnnotations]] = defaultdict(list)
    missing: list[SourceAnnotations] = []
    for source in gather_frames(sources, indices["image"], indices["video"]):
        found = _find_media(source, indices[source.kind], root)
        if len(found) > 1:
            problems.append(_ambiguous(source, found))
        elif found:
            problem = _crossed(source, found[0], indices[source.kind], root)
            if problem:
                problems.append(problem)
            claims[found[0]].append(source)
        else:
            missing.append(source)
    free = [name for name in videos if name not in claims]
    lonely = [source for source in missing if source.kind == "video"]
    if len(free) == 1 and len(lonely) == 1:
        problems += _only_one(lonely[0], free[0])
        claims[free[0]].append(lonely[0])
        missing.remove(lonely[0])
    problems += _without_media(missing)
    for name, claiming in claims.items():
        if len(claiming) > 1:
            problems.append(_claimed_twice(root / name, claiming))
        yield claiming[0], name


def _find_media(source: SourceAnnotations, index: MediaIndex, root: Path) -> list[str]:
    near = Path(source.file).relative_to(root).as_posix()
    wanted = list(source.names)
    if source.kind == "video":
        wanted[1 if source.names_media_file else 0 : 0] = _own_names(near)
    for name in wanted:
        found = index.find(name, near)
        if found:
            return found
    return []


def _own_names(annotation: str) -> list[str]:
    """Names of a video that an annotation file's own path suggests: `clip.xml`, `clip/any`."""
    path = Path(annotation)
    folder = path.parent.name
    return [path.stem] + ([folder] if folder and path.stem in _COMMON_STEMS else [])


def _crossed(
    source: SourceAnnotations, found: str, index: MediaIndex, root: Path
) -> Problem | None:
    """The error that a file named after one video states that it was made for another."""
    if source.kind != "video" or not source.names_media_file:
        return None
    near = Path(source.file).relative_to(root).as_posix()
    own = [name for wanted in _own_names(near) for name in index.find(wanted, near)]
    if not own or found in own:
        return None
    return Problem(
        "error",
        f"by its name it belongs to {own[0]}, but it states that it was made for {found}.",
        source.file,
        hint="Rename the file, or put the right export in its place.",
    )


def _ambiguous(source: SourceAnnotations, found: list[str]) -> Problem:
    return Problem(
        "error",
        f"may belong to {' or to '.join(found[:3])}.",
        source.file,
        hint="Give them different names, in the annotations too.",
    )


def _only_one(source: SourceAnnotations, name: str) -> list[Problem]:
    if not source.names_media_file:
        return []
    return [
        Problem(
            "warning",
            f"was made for {source.names[0]}; it is used for {name}, the only video that is left.",
            source.file,
            hint=f"If that is wrong, put {source.names[0]} into the dataset.",
        )
    ]


def _claimed_twice(path: Path, claiming: list[SourceAnnotations]) -> Problem:
    files = list(dict.fromkeys(source.file for source in claiming))
    if len(files) == 1:
        text, hint = f"describes {path.name} twice", "Export it again."
    else:
        text = f"belongs to {path.name} like {files[0]} does; only one can be used"
        hint = "Delete one of them. Of a task with several jobs, export the whole task."
    return Problem("error", f"{text}.", files[-1], hint=hint)


def _without_media(missing: Iterable[SourceAnnotations]) -> Iterator[Problem]:
    by_file: defaultdict[str, list[SourceAnnotations]] = defaultdict(list)
    for source in missing:
        by_file[source.file].append(source)
    for file, sources in by_file.items():
        kind = sources[0].kind
        name = sources[0].names[0] if sources[0].names else ""
        missing_name = f"has no {kind} {name!r}" if name else f"has no {kind} of that name"
        more = f", nor {len(sources) - 1} more that the file names" if len(sources) > 1 else ""
        yield Problem(
            "error" if kind == "video" else "warning",
            f"the dataset {missing_name}{more}.",
            file,
            hint=f"Add the {kind}, or give the annotation file the name of its {kind}.",
        )
