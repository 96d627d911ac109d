from __future__ import annotations

from pathlib import Path

import yaml

from kfdet.pipelines.compilation import Compilation
from kfdet.pipelines.compiler import compile_pipeline


def test_notifying_is_compiled_in_only_where_it_is_wanted(tmp_path: Path) -> None:
    compile_pipeline(tmp_path / "pipeline.yaml", Compilation(notify_secret="hook"))  # noqa: S106
    specification, platform = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    tasks = specification["root"]["dag"]["tasks"]
    assert set(tasks) == {"exit-handler-1", "notification"}
    assert tasks["notification"]["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    assert not tasks["notification"]["cachingOptions"]
    pod = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-notification"]
    (secret,) = [each for each in pod["secretAsEnv"] if each["secretName"] == "hook"]
    assert secret["optional"], "a missing Secret must not stop a run"
    assert secret["keyToEnv"] == [{"envVar": "KFDET_NOTIFY_URL", "secretKey": "url"}]
