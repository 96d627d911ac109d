"""The stages of a scoring on a cluster: several groups, each of which goes on after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.blob_detector import save_blob_model, write_photo

from kfdet.cluster.parameters import ScoringPods
from kfdet.errors import InputError
from kfdet.parameters import ScoringSettings
from kfdet.stages.scoring import score_group
from kfdet.stages.scoring_plan import plan_scoring
from kfdet.stages.scoring_summary import summarise_scoring


@pytest.fixture(scope="module")
def blob_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_blob_model(tmp_path_factory.mktemp("blobs"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(5):
        write_photo(tmp_path / "photos" / f"{number}.png", number % 3)
    return tmp_path / "photos"


def plan(photos: Path, model: Path, settings: ScoringSettings, groups: int = 2) -> list[int]:
    root = photos.parent
    found = plan_scoring(
        *(str(photos), str(root / "scores"), str(model), root / "plan"),
        *(settings, ScoringPods(groups=groups)),
    )
    return [each["index"] for each in found]


def score(root: Path, groups: list[int]) -> list[Path]:
    outcomes = [root / f"outcome-{group}" for group in groups]
    for group, outcome in zip(groups, outcomes, strict=True):
        score_group(root / "plan", group, outcome)
    return outcomes


def test_groups_together_score_every_file_once(
    photos: Path, blob_model: Path, tmp_path: Path
) -> None:
    groups = plan(photos, blob_model, ScoringSettings())
    assert groups == [0, 1]
    outcomes = score(tmp_path, groups)
    counts = [json.loads(path.read_text())["scored"] for path in outcomes]
    assert sorted(counts) == [2, 3]
    done = summarise_scoring(
        tmp_path / "plan", outcomes, tmp_path / "page.html", tmp_path / "summary"
    )
    assert (done.files, done.scored, done.detections) == (5, 5, 5)
    frames = pq.read_table(tmp_path / "scores" / "frames.parquet")
    assert frames["source"].to_pylist() == [f"{number}.png" for number in range(5)]
    assert json.loads((tmp_path / "summary").read_text())["detections"] == 5
    assert "photos" in (tmp_path / "page.html").read_text()


def test_a_group_that_starts_again_repeats_nothing(
    photos: Path, blob_model: Path, tmp_path: Path
) -> None:
    groups = plan(photos, blob_model, ScoringSettings())
    (outcome,) = score(tmp_path, groups[:1])
    (outcome,) = score(tmp_path, groups[:1])
    found = json.loads(outcome.read_text())
    assert (found["scored"], found["frames"]) == (0, 0)
    assert found["there"] > 0


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_broken_file_fails_only_the_summary(
    keep_going: bool, photos: Path, blob_model: Path, tmp_path: Path
) -> None:
    (photos / "broken.jpg").write_bytes(b"not a picture")
    settings = ScoringSettings(keep_going=keep_going)
    outcomes = score(tmp_path, plan(photos, blob_model, settings))
    files = (tmp_path / "plan", outcomes, tmp_path / "page.html", tmp_path / "summary")
    if keep_going:
        assert [each.name for each in summarise_scoring(*files).failed] == ["broken.jpg"]
    else:
        with pytest.raises(InputError, match=r"1 of 6 files could not be scored: .*broken\.jpg"):
            summarise_scoring(*files)
    assert len(pq.read_table(tmp_path / "scores" / "frames.parquet")) == 5


@pytest.mark.parametrize(
    ("settings", "pods", "message"),
    [
        (ScoringSettings(every=0), ScoringPods(), "every must be at least 1"),
        (ScoringSettings(threshold=2.0), ScoringPods(), "threshold must be 0 to 1"),
        (ScoringSettings(), ScoringPods(groups=0), "groups must be at least 1"),
        (ScoringSettings(), ScoringPods(scoring_cpu="two"), "scoring_cpu must be a quantity"),
        (ScoringSettings(), ScoringPods(scoring_memory="4GB"), "scoring_memory must be a quan"),
    ],
)
def test_a_bad_parameter_fails_first(
    settings: ScoringSettings, pods: ScoringPods, message: str, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        plan_scoring(str(photos), "scores", "no-model", tmp_path / "plan", settings, pods)
    with pytest.raises(InputError, match="source, target and model are needed"):
        plan_scoring(str(photos), "", "model", tmp_path / "plan", ScoringSettings(), ScoringPods())
