from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from kfdet.cluster.parameters import BUCKET, CLUSTER_DEFAULTS
from kfdet.cluster.tensorboard import OPTIONAL_STORAGE_VARIABLES, STORAGE_VARIABLES
from kfdet.components.image import IMAGE, TENSORBOARD_IMAGE, TRAINING_IMAGE
from kfdet.errors import InputError
from kfdet.parameters import DEFAULTS
from kfdet.pipelines.compilation import COMPILATION_DEFAULTS, Compilation
from kfdet.pipelines.compiler import compile_pipeline
from kfdet.pipelines.training import build_pipeline

GOLDEN = Path(__file__).parent / "golden" / "training.yaml"
ON_ACCELERATORS = {"training", "evaluation"}


def documents(path: Path = GOLDEN) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline, and what Kubernetes needs to know by the name of a stage."""
    pipeline, platform = yaml.safe_load_all(path.read_text())
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return pipeline, {name.removeprefix("exec-"): entry for name, entry in executors.items()}


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return documents()[0]


@pytest.fixture(scope="module")
def pods() -> dict[str, Any]:
    return documents()[1]


@pytest.fixture(scope="module")
def tasks(spec: dict[str, Any]) -> dict[str, Any]:
    """Every stage's task, whichever loop or condition it is in."""
    dags = [spec["root"], *spec["components"].values()]
    found = {n: t for dag in dags for n, t in dag.get("dag", {}).get("tasks", {}).items()}
    return {n: t for n, t in found.items() if not n.startswith(("for-loop", "condition"))}


def containers(path: Path) -> dict[str, Any]:
    executors = documents(path)[0]["deploymentSpec"]["executors"]
    return {name: executor["container"] for name, executor in executors.items()}


def images(path: Path) -> dict[str, str]:
    return {name: container["image"] for name, container in containers(path).items()}


def test_the_compiled_pipeline_is_the_golden_one(tmp_path: Path) -> None:
    compiled = tmp_path / "training.yaml"
    compile_pipeline(compiled)
    assert compiled.read_text() == GOLDEN.read_text(), "look at the difference, then: make golden"


def test_the_golden_pipeline_is_a_pipeline_spec(spec: dict[str, Any]) -> None:
    message = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert message.schema_version == "2.1.0"
    assert len(message.deployment_spec["executors"]) == 10
    assert all(
        name in message.components
        for name in (task.component_ref.name for task in message.root.dag.tasks.values())
    )


def test_export_comes_before_evaluation(spec: dict[str, Any]) -> None:
    assert "export" in spec["root"]["dag"]["tasks"]["evaluation"]["dependentTasks"]


def test_the_verdict_is_a_bool(spec: dict[str, Any]) -> None:
    outputs = spec["components"]["comp-evaluation"]["outputDefinitions"]["parameters"]
    assert outputs["verdict"]["parameterType"] == "BOOLEAN"


def test_every_input_is_explained(spec: dict[str, Any]) -> None:
    for name, parameter in spec["root"]["inputDefinitions"]["parameters"].items():
        assert parameter.get("description"), name


def test_the_defaults_are_those_of_the_command_line() -> None:
    signature = inspect.signature(build_pipeline().pipeline_func)
    defaults = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    images = {"tensorboard_image": TENSORBOARD_IMAGE}
    rest = {**CLUSTER_DEFAULTS.arguments(BUCKET), **images}
    assert defaults == {**dataclasses.asdict(DEFAULTS), **rest}


def test_only_the_dataset_has_to_be_given(spec: dict[str, Any]) -> None:
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert [name for name, p in parameters.items() if not p.get("isOptional")] == ["dataset"]


def test_every_stage_gets_the_credentials_if_there_are_any(pods: dict[str, Any]) -> None:
    """KFP's launcher runs in the same container and may be told to look there, too."""
    for name, pod in pods.items():
        secrets = {frozenset(k["envVar"] for k in s["keyToEnv"]): s for s in pod["secretAsEnv"]}
        assert all(s["secretName"] == "kfdet-storage" and s["optional"] for s in secrets.values())
        mirror = {frozenset(["KFDET_MIRROR"])} if name == "training" else set()
        assert set(secrets) == {
            frozenset((*STORAGE_VARIABLES, *OPTIONAL_STORAGE_VARIABLES)),
            *mirror,
        }


def test_no_stage_mounts_a_token(pods: dict[str, Any]) -> None:
    assert not [name for name, pod in pods.items() if "secretAsVolume" in pod]


def test_no_stage_runs_as_root(pods: dict[str, Any]) -> None:
    assert all(pod["securityContext"] == {"runAsNonRoot": True} for pod in pods.values())


def test_the_cache_tells_gpus_from_none(spec: dict[str, Any]) -> None:
    inputs = spec["root"]["dag"]["tasks"]["training"]["inputs"]["parameters"]
    assert inputs["gpus"] == {"componentInputParameter": "accelerator_count"}


def test_every_stage_can_write_its_scratch(pods: dict[str, Any]) -> None:
    assert len(pods) == 10
    for pod in pods.values():
        assert "/tmp" in [volume["mountPath"] for volume in pod["emptyDirMounts"]]  # noqa: S108


def test_every_stage_outlasts_a_minute_without_its_bucket(tasks: dict[str, Any]) -> None:
    assert len(tasks) == 10
    for name, task in tasks.items():
        if name == "fingerprint":  # it waits by itself, and bad parameters should fail once
            continue
        policy = task["retryPolicy"]
        first = float(policy["backoffDuration"].rstrip("s"))
        waits = [first * policy["backoffFactor"] ** n for n in range(policy["maxRetryCount"])]
        assert sum(waits) >= 60, name
        # counted from the start of the first attempt: a training of days must not be cut off
        assert int(policy["backoffMaxDuration"].rstrip("s")) >= 14 * 24 * 3600, name


def test_what_looks_at_the_world_is_never_cached(tasks: dict[str, Any]) -> None:
    fresh = {name for name, task in tasks.items() if not task["cachingOptions"].get("enableCache")}
    assert fresh == {"fingerprint", "deployment"}


def test_planning_is_cached_by_what_the_dataset_holds(spec: dict[str, Any]) -> None:
    given = spec["root"]["dag"]["tasks"]["planning"]["inputs"]["parameters"]["fingerprint"]
    assert given["taskOutputParameter"]["producerTask"] == "fingerprint"


def test_deployment_waits_for_a_name_and_a_model_within_the_limits(spec: dict[str, Any]) -> None:
    (group,) = [
        task for name, task in spec["root"]["dag"]["tasks"].items() if name.startswith("condition")
    ]
    verdict, endpoint = group["triggerPolicy"]["condition"].split(" && ")
    assert verdict.endswith("evaluation-reaches_limits'] == true")
    assert endpoint.endswith("'pipelinechannel--endpoint'] != ''")
    assert set(spec["components"][group["componentRef"]["name"]]["dag"]["tasks"]) == {"deployment"}


@pytest.mark.parametrize(
    ("stage", "count"),
    [("training", "accelerator_count"), ("evaluation", "fingerprint-evaluation_accelerators")],
)
def test_it_asks_for_what_the_parameters_say(stage: str, count: str, pods: dict[str, Any]) -> None:
    resources = containers(GOLDEN)[f"exec-{stage}"]["resources"]
    accelerator = resources.pop("accelerator")
    assert "accelerator_type" in accelerator["resourceType"]
    assert f"--{count}'" in accelerator["resourceCount"]
    assert "training_cpu" in resources["resourceCpuRequest"]
    assert "training_cpu_limit" in resources["resourceCpuLimit"]
    for name in ("resourceMemoryRequest", "resourceMemoryLimit"):
        assert "training_memory" in resources[name]
    pod = pods[stage]
    assert pod["nodeSelector"]["nodeSelectorJson"] == {"componentInputParameter": "node_selector"}
    (toleration,) = pod["tolerations"]
    assert toleration["tolerationJson"] == {"componentInputParameter": "tolerations"}


def test_what_a_pod_is_patched_with_is_text(spec: dict[str, Any]) -> None:
    """KFP's driver reads a number as empty text, and training would silently get no GPU."""
    resources = json.dumps(containers(GOLDEN)["exec-training"]["resources"])
    names = re.findall(r"pipelinechannel--(\w+)", resources)
    assert len(names) == 6
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert {parameters[name]["parameterType"] for name in names} == {"STRING"}
    outputs = spec["components"]["comp-fingerprint"]["outputDefinitions"]["parameters"]
    assert outputs["evaluation_accelerators"]["parameterType"] == "STRING"


def test_shared_memory_is_as_large_as_asked_for(tmp_path: Path) -> None:
    compiled = tmp_path / "training.yaml"
    for size in (COMPILATION_DEFAULTS.shared_memory, "8Gi"):
        compile_pipeline(compiled, Compilation(shared_memory=size))
        (memory,) = [
            d for d in documents(compiled)[1]["training"]["emptyDirMounts"] if "medium" in d
        ]
        assert memory["mountPath"] == "/dev/shm"  # noqa: S108
        assert memory["sizeLimit"] == size


def test_nothing_of_this_machine_is_in_it() -> None:
    text = GOLDEN.read_text()
    assert str(Path.cwd()) not in text
    assert str(Path.home()) not in text
    assert not re.search(r"password|https?://", text, re.IGNORECASE)


def test_the_images_name_no_registry() -> None:
    assert set(images(GOLDEN).values()) == {IMAGE, TRAINING_IMAGE}
    assert "/" not in IMAGE + TRAINING_IMAGE + TENSORBOARD_IMAGE


def test_other_images_take_their_place(tmp_path: Path) -> None:
    compiled = tmp_path / "training.yaml"
    compile_pipeline(compiled, Compilation(image="hub/cpu@sha256:1", training_image="hub/gpu:2"))
    found = images(compiled)
    assert {found.pop(f"exec-{stage}") for stage in ON_ACCELERATORS} == {"hub/gpu:2"}
    assert set(found.values()) == {"hub/cpu@sha256:1"}


def test_another_tensorboard_becomes_the_default(tmp_path: Path) -> None:
    compiled = tmp_path / "training.yaml"
    compile_pipeline(compiled, Compilation(tensorboard_image="hub/board:3"))
    parameters = documents(compiled)[0]["root"]["inputDefinitions"]["parameters"]
    assert parameters["tensorboard_image"]["defaultValue"] == "hub/board:3"


def test_another_bucket(tmp_path: Path) -> None:
    compiled = tmp_path / "pipeline.yaml"
    compile_pipeline(compiled, bucket="team-1")
    text = compiled.read_text()
    assert "minio://kfdet/" not in text
    spec, _ = yaml.safe_load_all(text)
    assert spec["defaultPipelineRoot"] == "s3://team-1/runs"
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert parameters["model_root"]["defaultValue"] == "minio://team-1/models"


def test_bad_input_is_not_tried_again_and_again(tasks: dict[str, Any]) -> None:
    """Parameters fail in the fingerprint, datasets in planning."""
    retries = {n: t.get("retryPolicy", {}).get("maxRetryCount", 0) for n, t in tasks.items()}
    assert (retries["fingerprint"], retries["planning"]) == (0, 1)


def test_the_first_stage_checks_every_parameter(spec: dict[str, Any]) -> None:
    given = spec["root"]["dag"]["tasks"]["fingerprint"]["inputs"]["parameters"]
    # KFP itself refuses what is not JSON; of images and resources only others know
    unchecked = {"node_selector", "tolerations", "accelerator_type", "tensorboard_image"}
    assert set(given) == set(spec["root"]["inputDefinitions"]["parameters"]) - unchecked


def test_of_two_runs_the_time_of_the_first_stage_decides(spec: dict[str, Any]) -> None:
    (group,) = [t for n, t in spec["root"]["dag"]["tasks"].items() if n.startswith("condition")]
    dag = spec["components"][group["componentRef"]["name"]]["dag"]
    started = dag["tasks"]["deployment"]["inputs"]["parameters"]["started"]
    assert started == {"componentInputParameter": "pipelinechannel--fingerprint-started"}


def test_every_other_stage_states_its_room(pods: dict[str, Any]) -> None:
    for name, container in containers(GOLDEN).items():
        if name.removeprefix("exec-") in ON_ACCELERATORS:
            continue
        resources = container["resources"]
        assert (resources["resourceCpuLimit"], resources["resourceMemoryLimit"]) == (
            "4",
            str(4 << 30),
        )
        assert resources["accelerator"]["resourceType"] == "ephemeral-storage"
        planned = name in ("exec-interpolation", "exec-frame-extraction")
        disk = "{{$.inputs.parameters['pipelinechannel--planning-disk']}}"
        count = disk if planned else str(8 << 30)
        assert resources["accelerator"]["resourceCount"] == count
        assert {"resourceCpuRequest", "resourceMemoryRequest"} < set(resources)
        labels = pods[name.removeprefix("exec-")]["nodeSelector"]["labels"]
        assert labels == {"kubernetes.io/arch": "amd64"}


def test_a_cluster_of_ones_own(tmp_path: Path) -> None:
    compiled = tmp_path / "training.yaml"
    compilation = Compilation(
        stage_memory="16Gi",
        stage_disk="1.5Ti",
        scratch_size="2Ti",
        scratch_class="fast",
        stage_node_selector='{"pool": "batch"}',
        stage_tolerations='[{"key": "batch", "operator": "Exists", "tolerationSeconds": 60}]',
        pull_secret="registry",  # noqa: S106
    )
    compile_pipeline(compiled, compilation)
    resources = containers(compiled)["exec-planning"]["resources"]
    assert resources["resourceMemoryLimit"] == str(16 << 30)
    assert resources["accelerator"]["resourceCount"] == str(1536 << 30)
    for name, pod in documents(compiled)[1].items():
        (volume,) = pod["genericEphemeralVolume"]
        assert (volume["mountPath"], volume["size"]) == ("/tmp", "2Ti")  # noqa: S108
        assert volume["storageClassName"] == "fast"
        assert "/tmp" not in [v["mountPath"] for v in pod.get("emptyDirMounts", [])]  # noqa: S108
        assert pod["imagePullSecret"][0]["secretName"] == "registry"
        if name not in ON_ACCELERATORS:
            assert pod["nodeSelector"]["labels"] == {"pool": "batch"}
            (toleration,) = pod["tolerations"]
            assert toleration["key"] == "batch"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stage_disk": "big"}, "stage_disk must be a quantity"),
        ({"stage_memory": "1Gi"}, "stage_memory must be at least 2Gi, .* got '1Gi'"),
        ({"scratch_size": "big"}, "scratch_size must be a quantity"),
        ({"scratch_class": "fast"}, "scratch_class is given, but no scratch_size"),
        ({"stage_node_selector": "[]"}, "stage_node_selector must be an object of texts"),
        ({"stage_tolerations": '[{"taint": 1}]'}, "a toleration has no field 'taint'"),
    ],
)
def test_what_no_cluster_takes(given: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Compilation(**given).check()  # type: ignore[arg-type]
