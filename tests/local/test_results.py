from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from kfdet.errors import InputError
from kfdet.files import write_zip
from kfdet.local.results import Run, own_history, own_records
from kfdet.records.reading import Records


@pytest.mark.parametrize(
    ("ap50", "good", "text"),
    [
        (0.91234, True, "AP50 0.912, good enough to serve"),
        (None, False, "AP50 not measured, not good enough to serve"),
    ],
)
def test_a_run_shows_how_good_it_is(ap50: float | None, good: bool, text: str) -> None:
    run = Run(Path("toys"), {"AP50": ap50, "verdict": good, "per_class": {}}, {"stages": []})
    assert repr(run) == f"<Run toys: {text}>"


def test_the_records_of_a_run_that_was_not_finished_are_not_those_of_the_model(
    square_records: Path, tmp_path: Path
) -> None:
    """Its validation side may be what the model was trained on."""
    own, other = (tmp_path / "artifacts" / name / "records" for name in ("first", "second"))
    shutil.copytree(square_records, own)
    shutil.copytree(square_records, other)
    label_map = other / "label_map.pbtxt"
    label_map.write_text(label_map.read_text() + "\n")
    for number, folder in enumerate((own, other)):
        os.utime(folder, (number, number))
    (tmp_path / "model").mkdir()
    for records in (own, other):
        document = {"records": Records(records).digest()}
        (tmp_path / "model" / "model.json").write_text(json.dumps(document))
        assert own_records(tmp_path) == records
    shutil.rmtree(other)
    with pytest.raises(InputError, match="records are no longer in artifacts"):
        own_records(tmp_path)


def test_the_history_is_that_of_the_model(tmp_path: Path) -> None:
    assert own_history(tmp_path) is None
    write_zip(tmp_path / "model.zip", {"checkpoint/history.json": b"{}"})
    assert own_history(tmp_path) == b"{}"
