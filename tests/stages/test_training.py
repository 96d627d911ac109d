"""Training whose checkpoints and logs go to a bucket."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.object_store import BUCKET, ObjectStore
from support.patience import wait_until

from kfdet.stages.training import checkpoint_rank

# logging as KFP's own executor sets it up
PROGRAM = """
import logging, sys
from pathlib import Path
from kfdet.parameters import TrainingSettings
from kfdet.stages.training import train
logging.basicConfig(stream=sys.stdout, level=logging.INFO)
settings = TrainingSettings(pretrained="none", input_size="96x128", batch_size=4, steps=20)
logs = train(
    Path(sys.argv[1]), Path(sys.argv[2]), settings, checkpoint_root="minio://kfdet/checkpoints",
    tensorboard_root="minio://kfdet/tensorboard", seed=0, gpus=64,
)
print("logs in", logs)
"""


@pytest.mark.parametrize(
    ("name", "rank"),
    [
        ("ckpt-5.index", 0),
        ("ckpt-5.data-00000-of-00001", 0),
        ("checkpoint", 1),
        ("best/weights.index", 2),
        ("history.json", 3),
        ("start.json", 0),
        ("examples/train.npy", None),
        (".history.json.abc", None),
        ("checkpoint.tmp0f", None),
        ("ckpt-5_temp/part-00000-of-00001.index", None),
        ("best/weights_temp/part-00000-of-00001.index", None),
    ],
)
def test_the_order_of_copies(name: str, rank: int | None) -> None:
    assert checkpoint_rank(name) == rank


@pytest.mark.slow
def test_a_killed_pod_continues_in_another(
    square_records: Path, tmp_path: Path, object_store: ObjectStore
) -> None:
    command = [sys.executable, "-c", PROGRAM, str(square_records), str(tmp_path / "model")]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = os.environ | {"TMPDIR": str(scratch)}
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        wait_until(lambda: any(line.endswith("/checkpoint") for line in object_store.log), process)
        os.killpg(process.pid, signal.SIGKILL)
    assert not (tmp_path / "model").exists()
    first = object_store.objects("checkpoints/")
    (state,) = (name for name in first if name.endswith("/checkpoint"))
    assert b"ckpt-20" not in first[state]
    # killed before the copy of the history, which follows that of the checkpoint
    folder = f"checkpoints/{state.rpartition('/')[0]}"
    object_store.client.remove_object(BUCKET, f"{folder}/history.json")
    shutil.rmtree(scratch)
    scratch.mkdir()
    object_store.log.clear()
    printed = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert not printed.returncode, printed.stderr[-4000:]
    assert "GPUs requested: 64, seen by TensorFlow: " in printed.stdout + printed.stderr
    assert f"GET {BUCKET}/checkpoints/{state}" in object_store.log
    history = json.loads((tmp_path / "model" / "history.json").read_text())
    assert history["steps"][-1] == 20
    assert history["start"] == {"pretrained": "none"}
    # TensorFlow generates modules in there, which Python compiles
    assert {path.name for path in scratch.iterdir()} <= {"__pycache__"}
    there = object_store.objects()
    assert b"ckpt-20" in there[f"checkpoints/{state}"]
    assert not [name for name in there if "examples" in name or "temp" in name]
    lines = printed.stdout.splitlines()
    folder = lines[-1].removeprefix(f"logs in minio://{BUCKET}/")
    logs = {name.split("/")[2] for name in there if name.startswith(f"{folder}/")}
    assert logs == {"train", "validation"}
    assert len([line for line in lines if line.endswith("training until step 20...")]) == 1
