"""The manifests, built as `kubectl apply -k` builds them."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from kfdet import __version__
from kfdet.cli.serving import serve
from kfdet.cluster import names
from kfdet.cluster.parameters import BUCKET, pipeline_root
from kfdet.cluster.tensorboard import STORAGE_VARIABLES
from kfdet.components.image import IMAGE, TENSORBOARD_IMAGE
from kfdet.deployment.endpoint import Canary, Release, Serving
from kfdet.deployment.inference_service import build

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
BESIDE = "serving-namespace"
"""An overlay that is applied beside another one."""

OVERLAYS = sorted(
    path.parent.name
    for path in MANIFESTS.glob("overlays/*/kustomization.yaml")
    if path.parent.name != BESIDE
)
WITH_MINIO = ["standalone", "standalone-gpu", "standalone-openshift"]
WITHOUT_SECRETS = "existing-s3-identity"
WITH_SECRETS = [name for name in OVERLAYS if name != WITHOUT_SECRETS]
Object = dict[str, Any]


@pytest.fixture(scope="session")
def kustomize() -> list[str]:
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    pytest.skip("neither kustomize nor kubectl is on PATH")


@pytest.fixture(scope="session")
def built(kustomize: list[str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Objects of an overlay, with the examples' credentials filled in."""
    copy = tmp_path_factory.mktemp("manifests") / "manifests"
    shutil.copytree(MANIFESTS, copy, ignore=shutil.ignore_patterns("*.env"))
    for example in copy.glob("overlays/*/*.env.example"):
        text = re.sub(r"(?m)^(\w+)=$", r"\1=made-up-for-a-test", example.read_text())
        example.with_suffix("").write_text(text)

    overlays = copy / "overlays"
    reader = f"{names.READER_SECRET}.env"
    shutil.copy(overlays / "standalone" / reader, overlays / BESIDE)
    # as its comment says
    runs = overlays / "runs"
    shutil.copytree(overlays / "standalone", runs)
    text = (runs / "kustomization.yaml").read_text()
    last = "  - ../../components/tensorboard\n"
    assert last in text
    separate = f"{last}  - ../../components/separate-serving\n"
    (runs / "kustomization.yaml").write_text(text.replace(last, separate))
    shutil.copytree(overlays / "standalone", overlays / "batched")
    batching = f"{last}  - ../../components/batching\n"
    (overlays / "batched" / "kustomization.yaml").write_text(text.replace(last, batching))

    @cache
    def build_overlay(overlay: str) -> tuple[Object, ...]:
        done = subprocess.run(
            [*kustomize, str(copy / "overlays" / overlay)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return tuple(yaml.safe_load_all(done.stdout))

    return build_overlay


def one(objects: tuple[Object, ...], kind: str, name: str) -> Object:
    (found,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def pod_specs(objects: tuple[Object, ...]) -> Iterator[tuple[str, Object]]:
    for each in objects:
        if "template" in each.get("spec", {}):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


def containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def variables(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_that_has_a_namespace_is_in_one(built: Any, overlay: str) -> None:
    objects = built(overlay)
    assert len(objects) >= 8
    # kustomize gives one to admission policies, too, which have none; the API server ignores it
    assert len({each["metadata"]["namespace"] for each in objects}) == 1
    assert {each["metadata"]["labels"]["app.kubernetes.io/part-of"] for each in objects} == {
        "kfdet"
    }


@pytest.mark.parametrize("overlay", ["standalone", "existing-s3"])
def test_the_default_namespace_is_the_codes(built: Any, overlay: str) -> None:
    assert built(overlay)[0]["metadata"]["namespace"] == names.NAMESPACE


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_deployer_may_deploy_and_nothing_else(built: Any, overlay: str) -> None:
    objects = built(overlay)
    assert not [o for o in objects if o["kind"] in ("ClusterRole", "ClusterRoleBinding")]
    role = one(objects, "Role", names.DEPLOYER_ACCOUNT)
    assert role["rules"] == [
        {
            "apiGroups": [names.GROUP],
            "resources": [names.PLURAL],
            "verbs": ["get", "list", "watch", "create", "patch", "delete"],
        },
        {
            "apiGroups": [names.GROUP],
            "resources": [f"{names.PLURAL}/status"],
            "verbs": ["patch"],
        },
        {
            "apiGroups": ["policy"],
            "resources": ["poddisruptionbudgets"],
            "verbs": ["create", "patch", "delete"],
        },
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    ]
    binding = one(objects, "RoleBinding", names.DEPLOYER_ACCOUNT)
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    account = one(objects, "ServiceAccount", names.DEPLOYER_ACCOUNT)
    assert binding["subjects"] == [
        {
            "kind": "ServiceAccount",
            "name": names.DEPLOYER_ACCOUNT,
            "namespace": account["metadata"]["namespace"],
        }
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_runs_may_ask_for_the_deployers_token_and_nothing_else(built: Any, overlay: str) -> None:
    objects = built(overlay)
    role = one(objects, "Role", "kfdet-deployer-token")
    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["serviceaccounts/token"],
            "resourceNames": [names.DEPLOYER_ACCOUNT],
            "verbs": ["create"],
        }
    ]
    (runs,) = one(objects, "RoleBinding", "kfdet-deployer-token")["subjects"]
    profile = overlay == "kubeflow-profile"
    assert runs["name"] == ("default-editor" if profile else "pipeline-runner")
    assert runs["namespace"] == role["metadata"]["namespace"]
    assert "service-account-token" not in {o.get("type") for o in objects}


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("mode", ["Standard", "Knative"])
def test_the_policy_allows_what_the_code_writes(built: Any, overlay: str, mode: Any) -> None:
    """CEL needs an API server (tests/e2e/kubernetes); the names of the fields do not."""
    policy = one(built(overlay), "ValidatingAdmissionPolicy", "kfdet-deployer-writes")["spec"]
    (condition,) = policy["matchConditions"]
    assert f":{names.DEPLOYER_ACCOUNT}$" in condition["expression"]
    rules = " ".join(each["expression"] for each in policy["validations"])
    allowed = set(re.findall(r"'([^']+)'", rules))
    release = Release("1", "s3://kfdet/1")
    for serving in (Serving(release), Serving(release, release, Canary(release, 10))):
        manifest = build("toys", "x", serving, mode)
        assert set(manifest["metadata"]["labels"]) <= allowed
        assert {a for a in manifest["metadata"]["annotations"] if "kfdet.io/" not in a} <= allowed
        assert set(manifest["spec"]) <= allowed
        canaries = [each["predictor"] for each in manifest["spec"].get("canary", [])]
        for predictor in (manifest["spec"]["predictor"], *canaries):
            assert set(predictor) | set(predictor["model"]) <= allowed
            assert predictor["serviceAccountName"] in allowed
            assert predictor["model"]["runtime"].startswith("kfdet-")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_names_are_those_of_the_code(built: Any, overlay: str) -> None:
    objects = built(overlay)
    deployer = one(objects, "ServiceAccount", names.DEPLOYER_ACCOUNT)
    serving = one(objects, "ServiceAccount", names.SERVING_ACCOUNT)
    assert not deployer["automountServiceAccountToken"]
    assert not serving["automountServiceAccountToken"]
    if overlay != WITHOUT_SECRETS:
        assert serving["secrets"] == [{"name": names.READER_SECRET}]
        for secret in (names.STORAGE_SECRET, names.READER_SECRET):
            assert set(one(objects, "Secret", secret)["data"]) == set(STORAGE_VARIABLES)
    runtime = one(objects, "ServingRuntime", names.RUNTIME)
    manifest = build("toys", "x", Serving(Release("1", "s3://kfdet/1")), "Standard")
    model = manifest["spec"]["predictor"]["model"]
    assert model["runtime"] == names.RUNTIME
    assert model["modelFormat"] in runtime["spec"]["supportedModelFormats"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]


def test_the_cloud_gives_credentials_where_there_is_no_secret(built: Any) -> None:
    objects = built(WITHOUT_SECRETS)
    assert "Secret" not in {each["kind"] for each in objects}
    for name in (names.SERVING_ACCOUNT, "kfdet-tensorboard"):
        account = one(objects, "ServiceAccount", name)
        # KServe's pkg/credentials looks for it
        assert "eks.amazonaws.com/role-arn" in account["metadata"]["annotations"]
        assert "secrets" not in account
    file = MANIFESTS / "overlays" / WITHOUT_SECRETS / "kfp-launcher.yaml"
    (bucket,) = yaml.safe_load(yaml.safe_load(file.read_text())["data"]["providers"])["s3"][
        "overrides"
    ]
    assert f"s3://{bucket['bucketName']}/runs" == pipeline_root(BUCKET)
    assert bucket["credentials"] == {"fromEnv": True}


@pytest.mark.parametrize("overlay", WITH_SECRETS)
def test_one_store_under_its_three_names(built: Any, kustomize: Any, overlay: str) -> None:
    """The stages' address, KServe's and the launcher's are the same."""
    source = "standalone" if overlay in WITH_MINIO else "existing-s3"
    example = MANIFESTS / "overlays" / source / f"{names.STORAGE_SECRET}.env.example"
    url = variables(example.read_text())["AWS_ENDPOINT_URL"]
    scheme, _, host = url.partition("://")
    objects = built(overlay)
    annotations = one(objects, "Secret", names.READER_SECRET)["metadata"]["annotations"]
    assert annotations["serving.kserve.io/s3-endpoint"] == host
    assert annotations["serving.kserve.io/s3-usehttps"] == str(int(scheme == "https"))
    patch = yaml.safe_load((MANIFESTS / "overlays" / source / "kfp-launcher.yaml").read_text())
    s3 = yaml.safe_load(patch["data"]["providers"])["s3"]
    (provider,) = s3["overrides"]
    assert f"s3://{provider['bucketName']}/runs" == pipeline_root(BUCKET)
    assert provider["endpoint"] == host
    assert provider["disableSSL"] is (scheme == "http")
    assert provider["region"] == annotations["serving.kserve.io/s3-region"]
    assert provider["credentials"]["secretRef"] == {
        "secretName": names.STORAGE_SECRET,
        "accessKeyKey": "AWS_ACCESS_KEY_ID",
        "secretKeyKey": "AWS_SECRET_ACCESS_KEY",
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_that_belongs_to_others_is_applied(built: Any, overlay: str) -> None:
    """Kubeflow Pipelines ships the ConfigMap; `kubectl apply` would drop what it has set there."""
    found = [each["metadata"]["name"] for each in built(overlay) if each["kind"] == "ConfigMap"]
    assert all(name.startswith("kfdet-") for name in found)


@pytest.mark.parametrize("overlay", ["standalone", "existing-s3", WITHOUT_SECRETS])
def test_the_launcher_of_other_pipelines_keeps_its_settings(overlay: str) -> None:
    patch = yaml.safe_load((MANIFESTS / "overlays" / overlay / "kfp-launcher.yaml").read_text())
    assert patch.keys() == {"data"}
    assert patch["data"].keys() == {"providers"}
    providers = yaml.safe_load(patch["data"]["providers"])
    assert providers.keys() == {"s3"}  # Kubeflow Pipelines' own store is minio://
    # what the launcher does with s3:// when nothing is set (backend/src/v2/objectstore)
    assert providers["s3"]["default"] == {"forcePathStyle": False, "credentials": {"fromEnv": True}}
    # the launcher crashes on this one in an override: it reads the default's (config/s3.go)
    assert all("maxRetries" not in each for each in providers["s3"]["overrides"])


def test_endpoints_in_a_namespace_of_their_own(built: Any) -> None:
    together = {(o["kind"], o["metadata"]["name"]) for o in built("standalone")}
    runs = {(o["kind"], o["metadata"]["name"]) for o in built("runs")}
    beside = built(BESIDE)
    serving = {(o["kind"], o["metadata"]["name"]) for o in beside}
    namespace = ("Namespace", "kfdet-serving")
    assert runs | serving == together | {namespace}
    # what fetches models there and shows logs here
    assert runs & serving == {("Secret", names.READER_SECRET)}
    inside = [o for o in beside if o["kind"] != "Namespace"]
    assert {o["metadata"]["namespace"] for o in inside} == {"kfdet-serving"}
    (deployer,) = one(beside, "RoleBinding", names.DEPLOYER_ACCOUNT)["subjects"]
    assert deployer["namespace"] == names.NAMESPACE
    (rule,) = one(built("runs"), "NetworkPolicy", "kfdet-minio")["spec"]["ingress"]
    (label,) = [
        each["namespaceSelector"]["matchLabels"]
        for each in rule["from"]
        if "namespaceSelector" in each
    ]
    assert label.items() <= one(beside, *namespace)["metadata"]["labels"].items()


def test_the_examples_hold_no_password() -> None:
    examples = list(MANIFESTS.rglob("*.env.example"))
    assert examples
    secret = {"AWS_SECRET_ACCESS_KEY", "MINIO_ROOT_PASSWORD"}
    for example in examples:
        given = variables(example.read_text())
        assert [given[name] for name in secret & set(given)] == [""], example


def test_every_user_of_the_store_gets_a_password_of_its_own(tmp_path: Path) -> None:
    copy = tmp_path / "standalone"
    shutil.copytree(MANIFESTS / "overlays/standalone", copy, ignore=shutil.ignore_patterns("*.env"))
    (copy / "kfdet-storage.env").write_text("kept")
    subprocess.run(["sh", str(copy / "passwords.sh")], check=True, capture_output=True)
    assert (copy / "kfdet-storage.env").read_text() == "kept"
    passwords = set()
    for example in copy.glob("*.example"):
        if (file := example.with_suffix("")).read_text() != "kept":
            given, expected = variables(file.read_text()), variables(example.read_text())
            (password,) = [given[name] for name in given if not expected[name]]
            assert 20 < len(password) <= 40  # MinIO's limit
            assert file.stat().st_mode & 0o077 == 0
            passwords.add(password)
    assert len(passwords) == 2


def test_git_ignores_the_real_ones() -> None:
    assert "*.env" in (MANIFESTS / ".gitignore").read_text().split()
    for path in MANIFESTS.rglob("*.yaml"):
        for each in yaml.safe_load_all(path.read_text()):
            assert not {"data", "stringData"} & set(each) or each.get("kind") != "Secret", path


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_confined(built: Any, overlay: str) -> None:
    objects = built(overlay)
    runtimes = [
        (o["metadata"]["name"], o["spec"]) for o in objects if o["kind"] == "ServingRuntime"
    ]
    pods = [*pod_specs(objects), *runtimes]
    assert len(pods) >= 2
    for name, pod in pods:
        for each in containers(pod):
            where = f"{name}/{each['name']}"
            context = {**pod.get("securityContext", {}), **each["securityContext"]}
            assert context["runAsNonRoot"] is True, where
            # OpenShift chooses the user
            assert context.get("runAsUser", 0) > 0 or overlay == "standalone-openshift", where
            assert context["readOnlyRootFilesystem"] is True, where
            assert context["allowPrivilegeEscalation"] is False, where
            assert context["capabilities"] == {"drop": ["ALL"]}, where
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, where
            assert {"cpu", "memory"} <= set(each["resources"]["requests"]), where
            assert "memory" in each["resources"]["limits"], where
            assert re.search(r":[\w.-]*\d", each["image"]), f"{where}: an image without a version"
    for name, pod in pod_specs(objects):
        assert pod["automountServiceAccountToken"] is False, name


@pytest.mark.parametrize("overlay", WITH_MINIO)
def test_the_stores_administrator_is_nobody_else(built: Any, overlay: str) -> None:
    objects = built(overlay)
    spec = one(objects, "StatefulSet", "minio")["spec"]
    (store,) = spec["template"]["spec"]["containers"]
    (setup,) = one(objects, "Job", "kfdet-store-users")["spec"]["template"]["spec"]["containers"]
    assert setup["image"] == IMAGE

    def secrets(container: Object) -> dict[str, tuple[str, str]]:
        found = {e["name"]: e.get("valueFrom", {}).get("secretKeyRef") for e in container["env"]}
        return {name: (ref["name"], ref["key"]) for name, ref in found.items() if ref}

    root = {
        name: ("kfdet-store-admin", name) for name in ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD")
    }
    assert secrets(store) == root
    assert secrets(setup) == {
        **root,
        "WRITER_ACCESS_KEY_ID": (names.STORAGE_SECRET, "AWS_ACCESS_KEY_ID"),
        "WRITER_SECRET_ACCESS_KEY": (names.STORAGE_SECRET, "AWS_SECRET_ACCESS_KEY"),
        "READER_ACCESS_KEY_ID": (names.READER_SECRET, "AWS_ACCESS_KEY_ID"),
        "READER_SECRET_ACCESS_KEY": (names.READER_SECRET, "AWS_SECRET_ACCESS_KEY"),
    }
    named = [e["metadata"]["name"] for e in objects if "kfdet-store-admin" in yaml.safe_dump(e)]
    assert set(named) == {"kfdet-store-admin", "minio", "kfdet-store-users"}
    service = one(objects, "Service", "minio")
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
    example = MANIFESTS / "overlays/standalone" / f"{names.STORAGE_SECRET}.env.example"
    address = f"http://{host}:{service['spec']['ports'][0]['port']}"
    assert variables(example.read_text())["AWS_ENDPOINT_URL"] == address
    policy = one(objects, "NetworkPolicy", "kfdet-minio")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= spec["selector"]["matchLabels"].items()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_tensorboard_is_the_projects_image(built: Any, overlay: str) -> None:
    deployment = one(built(overlay), "Deployment", "kfdet-tensorboard")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == TENSORBOARD_IMAGE
    assert container["envFrom"] == [{"secretRef": {"name": names.READER_SECRET, "optional": True}}]
    assert "--logdir=s3://kfdet/tensorboard" in container["args"]


def test_openshift_chooses_the_users(built: Any) -> None:
    assert not re.search(
        r"runAsUser|runAsGroup|fsGroup:", yaml.safe_dump_all(built("standalone-openshift"))
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nobody_reaches_a_pod_unless_a_policy_says_so(built: Any, overlay: str) -> None:
    objects = built(overlay)
    policies = {
        each["metadata"]["name"]: each["spec"]
        for each in objects
        if each["kind"] == "NetworkPolicy"
    }
    store = {"kfdet-minio"} if overlay in WITH_MINIO else set()
    assert set(policies) == {"kfdet-endpoints", "kfdet-tensorboard", *store}
    assert all(policy["policyTypes"] == ["Ingress"] for policy in policies.values())
    assert "ingress" not in policies["kfdet-tensorboard"]
    pods = policies["kfdet-endpoints"]["podSelector"]
    # KServe copies an InferenceService's labels to its pods
    assert pods["matchLabels"] == {names.MANAGED_LABEL: names.MANAGED_BY}
    assert [each["key"] for each in pods["matchExpressions"]] == [names.POD_LABEL]


def test_images_by_hand_are_of_this_version() -> None:
    root = MANIFESTS.parent
    for file in (root / "docs/kubernetes.md", root / "tools/cluster/overlay/kustomization.yaml"):
        named = re.findall(r"\bkfdet(?:-[a-z]+)?:(\d+\.\d+\.\d+)", file.read_text())
        assert named, file
        assert set(named) == {__version__}, file


# --- the serving runtime ---


def arguments(runtime: Object) -> dict[str, str]:
    (container,) = runtime["spec"]["containers"]
    return dict(a.removeprefix("--").split("=", 1) for a in container["args"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_runtime_serves_what_the_endpoint_asks_for(built: Any, overlay: str) -> None:
    runtime = one(built(overlay), "ServingRuntime", names.RUNTIME)
    found = arguments(runtime)
    assert found["model_name"] == "{{.Name}}"
    assert found["model_base_path"] == "/mnt/models"
    manifest = build("toys", "x", Serving(Release("1", "s3://kfdet/1")), "Standard")
    ports = manifest["spec"]["predictor"]["model"]["ports"]
    assert {port["name"]: str(port["containerPort"]) for port in ports} == {
        "http": found["rest_api_port"],
        "grpc": found["port"],
    }
    (container,) = runtime["spec"]["containers"]
    assert container["name"] == "kserve-container"
    probe = container["readinessProbe"]["httpGet"]
    assert probe == {"path": "/v1/models/{{.Name}}", "port": int(found["rest_api_port"])}
    # Its last lines are what kfdet says of a pod that crashes.
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert container["image"].startswith("tensorflow/serving:2.")


def test_the_runtime_is_as_new_as_the_tensorflow_that_exports(built: Any) -> None:
    lock = (MANIFESTS.parent / "requirements.lock").read_text()
    (version,) = re.findall(r"(?m)^tensorflow==(\d+\.\d+)", lock)
    (container,) = one(built("standalone"), "ServingRuntime", names.RUNTIME)["spec"]["containers"]
    assert container["image"].startswith(f"tensorflow/serving:{version}.")


def test_kfdet_serve_takes_the_same_arguments(built: Any) -> None:
    """Where the image cannot be had, `kfdet serve MODEL` takes its place."""
    found = set(arguments(one(built("standalone"), "ServingRuntime", names.RUNTIME)))
    options = set(inspect.signature(serve).parameters)
    others = {"model_base_path", "rest_api_timeout_in_ms", "monitoring_config_file"}
    assert found - others == {
        "model_name",
        "rest_api_port",
        "port",
    }
    assert options >= {"model_dir", "model_name", "rest_api_port", "port", "host"}
    overlay = MANIFESTS.parent / "tools" / "cluster" / "overlay" / "kustomization.yaml"
    assert "- --host=0.0.0.0\n" in overlay.read_text(), "a pod is asked from outside"


def test_a_gpu_is_asked_for(built: Any) -> None:
    spec = one(built("standalone-gpu"), "ServingRuntime", names.RUNTIME)["spec"]
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["image"].endswith("-gpu")
    assert [t["key"] for t in spec["tolerations"]] == ["nvidia.com/gpu"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_stages_without_a_sidecar_may_ask_an_endpoint_of_a_profile(
    built: Any, overlay: str
) -> None:
    """KServe's predictor.go copies the runtime's spec.annotations to the pods."""
    annotations = one(built(overlay), "ServingRuntime", names.RUNTIME)["spec"].get("annotations")
    in_profile = overlay == "kubeflow-profile"
    assert annotations.get("sidecar.istio.io/inject") == ("false" if in_profile else None)


def test_batching_is_added_with_its_parameters(built: Any) -> None:
    objects = built("batched")
    runtime = one(objects, "ServingRuntime", names.RUNTIME)
    found = arguments(runtime)
    assert found["enable_batching"] == "true"
    folder, _, file = found["batching_parameters_file"].rpartition("/")
    assert folder == found["monitoring_config_file"].rpartition("/")[0], "the same ConfigMap"
    config = one(objects, "ConfigMap", "kfdet-monitoring")["data"]
    assert "max_execution_batch_size { value: 8 }" in config[file]
    assert len(config) == 2
    assert "enable_batching" not in arguments(
        one(built("standalone"), "ServingRuntime", names.RUNTIME)
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_prometheus_finds_the_metrics(built: Any, overlay: str) -> None:
    objects = built(overlay)
    spec = one(objects, "ServingRuntime", names.RUNTIME)["spec"]
    for prefix in ("prometheus.io", "prometheus.kserve.io"):
        assert spec["annotations"][f"{prefix}/port"] == str(names.REST_PORT)
        assert spec["annotations"][f"{prefix}/path"] == names.METRICS_PATH
    (container,) = spec["containers"]
    folder, _, file = arguments({"spec": spec})["monitoring_config_file"].rpartition("/")
    (mount,) = [m for m in container["volumeMounts"] if m["mountPath"] == folder]
    (volume,) = [v for v in spec["volumes"] if v["name"] == mount["name"]]
    config = one(objects, "ConfigMap", volume["configMap"]["name"])["data"][file]
    assert f'enable: true, path: "{names.METRICS_PATH}"' in config


RUNTIMES = {"kfdet-tensorflow-serving-v1": "7f90b63c1519"}
"""Digest of each ServingRuntime of a release, by name."""


def test_a_changed_runtime_has_another_name() -> None:
    """KServe restarts all endpoints of a runtime that changes, at once and untested."""
    runtime = next(
        yaml.safe_load_all((MANIFESTS / "base" / "serving" / "runtime.yaml").read_text())
    )
    digest = hashlib.sha256(json.dumps(runtime["spec"], sort_keys=True).encode()).hexdigest()
    name = runtime["metadata"]["name"]
    assert name == names.RUNTIME
    assert RUNTIMES[name] == digest[:12], "give it another name, here and in names.RUNTIME"
