"""Datumaro's own JSON, read by Datumaro."""

from __future__ import annotations

from pathlib import Path

from kfdet.dataset.formats.model import UNTRACKED, AnnotationSet, KeyBox, SourceAnnotations
from kfdet.errors import InputError, Problem


def read(path: Path) -> AnnotationSet:
    """Read one JSON of a Datumaro dataset: one source an item, boxes in pixels.

    Boxes that a video tool marked as outside are no objects and are left out.

    Raises:
        InputError: Datumaro cannot read it.
    """
    # Importing Datumaro takes most of a second, which users of other formats need not pay.
    import datumaro

    result = AnnotationSet()
    try:
        dataset = datumaro.Dataset.import_from(str(path), "datumaro")
        labels = [label.name for label in dataset.categories()[datumaro.AnnotationType.label]]
        items = list(dataset)
    except Exception as error:
        # Datumaro wraps whatever its parser raised, of any type.
        raise InputError(
            f"Datumaro cannot read it: {error.__cause__ or error}.",
            file=path,
            hint="Export it again.",
        ) from error
    result.labels = labels
    skipped = 0
    for item in items:
        media = Path(getattr(item.media, "path", "") or item.id)
        source = SourceAnnotations("image", str(path), (media.name, item.id), stop=0)
        size = item.media.size if item.media is not None else None
        if size:
            source.height, source.width = int(size[0]), int(size[1])
        for annotation in item.annotations:
            more = annotation.attributes
            if annotation.type != datumaro.AnnotationType.bbox or annotation.label is None:
                skipped += annotation.type != datumaro.AnnotationType.label
                continue
            if more.get("outside"):
                continue
            x, y, width, height = annotation.get_bbox()
            source.keys.append(
                KeyBox(
                    UNTRACKED,
                    labels[annotation.label],
                    0,
                    x,
                    y,
                    x + width,
                    y + height,
                    float(more.get("rotation") or 0.0),
                    occluded=bool(more.get("occluded")),
                )
            )
        result.sources.append(source)
    if skipped:
        text = f"{skipped} annotations are left out: only boxes with a label are read."
        result.problems.append(Problem("warning", text, str(path)))
    return result
