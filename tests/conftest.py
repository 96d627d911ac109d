from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.shared import shared_folder

if TYPE_CHECKING:
    from support.object_store import ObjectStore
    from support.toy_server import Served

REPOSITORY = Path(__file__).resolve().parents[1]

# Trainings of tests start from random weights, and no test asks a network for others.
os.environ["KFDET_MIRROR"] = str(REPOSITORY / "no-weights-for-tests")

# A shell starts what runs in its background with SIGINT ignored, which the processes that tests
# start and interrupt would inherit.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


_LONG = {"e2e", "hostile", "stages", "training"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long modules first: the last ones leave nothing to do for the other workers."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, _LONG.isdisjoint(item.path.parts)))


def _quick_stack(context: int = 1) -> list[inspect.FrameInfo]:
    """`inspect.stack` without the lines of the sources."""
    frames, frame = [], sys._getframe(1)
    while frame:
        code = frame.f_code
        place = (code.co_filename, frame.f_lineno, code.co_name)
        frames.append(inspect.FrameInfo(frame, *place, None, None))
        frame = frame.f_back
    return frames


# KFP asks for the stack at every setting of a task. For frames without a file, which the workers of
# pytest-xdist have, `inspect` then searches all modules: 7 s a pipeline where TensorFlow is loaded.
inspect.stack = _quick_stack


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real videos and annotations beside the checkout; not part of the project."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data is not on this machine: {folder} is absent")
    return folder


@pytest.fixture
def object_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """An empty S3 server, to which the environment points."""
    from support.object_store import ObjectStore

    store = ObjectStore()
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    yield store
    store.close()


@pytest.fixture(scope="session")
def square_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TFRecords of squares and discs."""
    from support.square_records import write_square_records

    def make(folder: Path) -> None:
        write_square_records(folder / "records", train=96, val=24)

    return shared_folder(tmp_path_factory, "squares", make) / "records"


@pytest.fixture(scope="session")
def trained_model(square_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of a short training on `square_records`."""
    from kfdet.parameters import TrainingSettings
    from kfdet.stages.training import train

    def make(folder: Path) -> None:
        train(
            square_records,
            folder / "model",
            TrainingSettings(pretrained="none", input_size="96x128", steps=120, early_stop=0),
            checkpoint_root=str(folder / "checkpoints"),
            tensorboard_root=str(folder / "tensorboard"),
            seed=0,
            gpus=0,
        )

    return shared_folder(tmp_path_factory, "trained", make) / "model"


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SavedModel in TensorFlow Serving's layout."""
    from support.toy_server import write_toy_model

    def make(folder: Path) -> None:
        write_toy_model(folder / "model")

    return shared_folder(tmp_path_factory, "served", make) / "model"


@pytest.fixture(scope="session")
def served(toy_model: Path) -> Iterator[Served]:
    """`kfdet serve` with the toy model, shared by all tests."""
    from support.patience import SECONDS
    from support.toy_server import start_server

    served = start_server(toy_model)
    yield served
    served.process.terminate()
    assert served.process.wait(SECONDS) == 0
