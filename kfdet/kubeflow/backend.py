"""Kubeflow Pipelines' API server: the few requests that a run needs, with clear errors.

Through KFP's generated client, but not through kfp.Client, which prints. Only version 1 of the API
returns a run's Argo workflow, which holds what the pods wait for and why they failed; version 2 has
no field for that in 2.17.

Source of the paths: backend/api/{v1beta1,v2beta1}/*.proto and backend/src/apiserver/main.go of
Kubeflow Pipelines 2.17.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kfdet.cluster.connection import load_kubeconfig
from kfdet.errors import InputError, KfdetError
from kfdet.storage.environment import read_credential

TOKEN_VARIABLE = "KFDET_KFP_TOKEN"  # noqa: S105
COOKIES_VARIABLE = "KFDET_KFP_COOKIES"

_TIMEOUT = (5, 30)
"""Seconds to connect and to wait for an answer."""

_PAGE = 100
_REDIRECTS = (301, 302, 303, 307)
_POD_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_POD_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
"""Where full Kubeflow mounts a notebook's token (kfp/client/set_volume_credentials.py)."""

Answer = dict[str, Any]


class BackendUnreachableError(KfdetError):
    """The API server does not answer, or cannot answer a read now; asking again may help."""


@dataclass(frozen=True, slots=True)
class Backend:
    """An API server of Kubeflow Pipelines.

    Args:
        api: kfp_server_api.ApiClient.
        page: Address of its UI; "" if unknown.
        namespace: Namespace of the runs, on an installation for several users; "" on others.
        same_cluster: Whether it is in the cluster that kfdet.cluster.connection.connect returns;
            False when `host` is given.
        version: The version that it names, such as 2.17.0; a build of one's own may name none.
    """

    api: Any
    page: str
    namespace: str
    same_cluster: bool
    version: str

    def link(self, run_id: str) -> str:
        """Address of a run in the UI, or how to get there."""
        place = f"#/runs/details/{run_id}"
        if self.page:
            return f"{self.page}/{place}"
        return (
            f"http://localhost:8080/{place} after "
            "`kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80`"
        )

    def find_version(self, pipeline: str, version: str) -> tuple[str, str]:
        """The IDs of a pipeline and of one of its versions, by their names; "" where absent."""
        for found in self._pages("/apis/v2beta1/pipelines", "pipelines", self._owner()):
            if found["display_name"] == pipeline:
                pipeline_id: str = found["pipeline_id"]
                break
        else:
            return "", ""
        path = f"/apis/v2beta1/pipelines/{pipeline_id}/versions"
        for found in self._pages(path, "pipeline_versions"):
            if found["display_name"] == version:
                return pipeline_id, str(found["pipeline_version_id"])
        return pipeline_id, ""

    def create_pipeline(self, name: str, description: str) -> str:
        """Create a pipeline without versions; returns its ID."""
        body = {"display_name": name, "description": description, **self._owner()}
        created: Answer = self._request("POST", "/apis/v2beta1/pipelines", body=body)
        return str(created["pipeline_id"])

    def upload_version(self, pipeline_id: str, name: str, file: Path) -> str:
        """Add a version to a pipeline; returns its ID."""
        query = {"name": name, "pipelineid": pipeline_id}
        created: Answer = self._request(
            "POST", "/apis/v2beta1/pipelines/upload_version", query, file=file
        )
        return str(created["pipeline_version_id"])

    def experiment(self, name: str) -> str:
        """The ID of the experiment of that name, which is created if it does not exist.

        An archived one is restored: its name is taken, and the UI hides what is in it.
        """
        path = "/apis/v2beta1/experiments"

        def find() -> str:
            for found in self._pages(path, "experiments", self._owner()):
                if found["display_name"] == name:
                    experiment_id = str(found["experiment_id"])
                    if found.get("storage_state") == "ARCHIVED":
                        self._request("POST", f"{path}/{experiment_id}:unarchive")
                    return experiment_id
            return ""

        def create() -> str:
            body = {"display_name": name, **self._owner()}
            created: Answer = self._request("POST", path, body=body)
            return str(created["experiment_id"])

        return find_or_create(find, create)

    def start(
        self,
        name: str,
        experiment_id: str,
        version: Mapping[str, str],
        arguments: Mapping[str, Any],
        pipeline_root: str,
    ) -> str:
        """Start a run of a pipeline's version.

        Args:
            name: Name of the run in the UI.
            experiment_id: The experiment that lists it.
            version: IDs of the pipeline and its version, as the API writes them.
            arguments: Parameters that differ from their defaults.
            pipeline_root: URI below which its stages keep their artifacts; "": the namespace's.

        Returns:
            The run's ID.
        """
        body = _run_body(name, experiment_id, version, arguments, pipeline_root)
        created: Answer = self._request("POST", "/apis/v2beta1/runs", body=body)
        return str(created["run_id"])

    def create_recurring_run(
        self,
        name: str,
        cron: str,
        experiment_id: str,
        version: Mapping[str, str],
        arguments: Mapping[str, Any],
        pipeline_root: str,
    ) -> str:
        """Start runs at set times, one after the other; what was missed is not made up for.

        Args:
            name: Its name in the UI.
            cron: Six fields, of which the first is the second.
            experiment_id: As for `start`, like all that follows.
            version: IDs of the pipeline and its version.
            arguments: Parameters that differ from their defaults.
            pipeline_root: URI below which the stages keep their artifacts.

        Returns:
            The recurring run's ID.
        """
        body = {
            **_run_body(name, experiment_id, version, arguments, pipeline_root),
            "trigger": {"cron_schedule": {"cron": cron}},
            "max_concurrency": "1",
            "no_catchup": True,
            "mode": "ENABLE",
        }
        created: Answer = self._request("POST", "/apis/v2beta1/recurringruns", body=body)
        return str(created["recurring_run_id"])

    def recurring_runs(self) -> Iterator[Answer]:
        """All recurring runs of the installation, or of the namespace."""
        return self._pages("/apis/v2beta1/recurringruns", "recurringRuns", self._owner())

    def enable_recurring_run(self, recurring_run_id: str, *, enabled: bool) -> None:
        """Let a recurring run start runs, or let it start none."""
        action = "enable" if enabled else "disable"
        path = f"/apis/v2beta1/recurringruns/{quote(recurring_run_id)}:{action}"
        self._request("POST", path)

    def delete_recurring_run(self, recurring_run_id: str) -> None:
        """Delete a recurring run; the runs that it has started stay."""
        self._request("DELETE", f"/apis/v2beta1/recurringruns/{quote(recurring_run_id)}")

    def run(self, run_id: str) -> Answer:
        """A run: name, state, error, parameters.

        Raises:
            InputError: There is no run with that ID.
        """
        found: Answer = self._request("GET", f"/apis/v2beta1/runs/{quote(run_id)}")
        return found

    def runs(self, experiment_id: str = "") -> Iterator[Answer]:
        """The runs of an experiment, or of all, the newest first."""
        own = {"experiment_id": experiment_id} if experiment_id else self._owner()
        return self._pages("/apis/v2beta1/runs", "runs", {**own, "sort_by": "created_at desc"})

    def delete_run(self, run_id: str) -> None:
        """Delete a run; what it has computed leaves the cache with it.

        Entries of the cache refer to their run and are deleted with it: `ON DELETE CASCADE` in
        backend/src/apiserver/model/task.go of Kubeflow Pipelines 2.17.
        """
        self._request("DELETE", f"/apis/v2beta1/runs/{quote(run_id)}")

    def workflow(self, run_id: str) -> Answer:
        """The Argo workflow of a run as it was last reported; {} before the first report."""
        found = self._request("GET", f"/apis/v1beta1/runs/{quote(run_id)}")
        manifest = (found.get("pipeline_runtime") or {}).get("workflow_manifest")
        workflow: Answer = json.loads(manifest) if manifest else {}
        return workflow

    def log(self, run_id: str, pod: str) -> str:
        """The output of a pod of a run so far; "" if it is no longer available."""
        path = f"/apis/v1alpha1/runs/{quote(run_id)}/nodes/{quote(pod)}/log"
        try:
            log = str(self._request("GET", path, text=True))
        except KfdetError:
            return ""
        return "" if "error_message" in log[:20] else log  # even an error has status 200

    def _owner(self) -> dict[str, str]:
        return {"namespace": self.namespace} if self.namespace else {}

    def _pages(
        self, path: str, name: str, query: Mapping[str, str] | None = None
    ) -> Iterator[Answer]:
        token = ""
        while True:
            page = self._request(
                "GET", path, {**(query or {}), "page_size": str(_PAGE), "page_token": token}
            )
            yield from page.get(name) or []
            token = page.get("next_page_token") or ""
            if not token:
                return

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Answer | None = None,
        file: Path | None = None,
        text: bool = False,
    ) -> Any:
        import urllib3
        from kfp_server_api.exceptions import ApiException

        headers = {"Accept": "text/plain" if text else "application/json"}
        if file is not None:
            headers["Content-Type"] = "multipart/form-data"
        elif body is not None:
            headers["Content-Type"] = "application/json"
        try:
            answer = self.api.call_api(
                path,
                method,
                query_params=[(key, value) for key, value in (query or {}).items() if value],
                header_params=headers,
                body=body,
                files={"uploadfile": str(file)} if file is not None else {},
                response_type="str" if text else "object",
                auth_settings=["Bearer"],
                _return_http_data_only=True,
                _request_timeout=_TIMEOUT,
            )
        except ApiException as error:
            raise _explain(error, method, self.api.configuration.host) from error
        except urllib3.exceptions.HTTPError as error:
            raise _unreachable(error, self.api.configuration.host) from error
        except AttributeError as error:  # the client's own, over a refusal without a body
            if not isinstance(error.__context__, ApiException):
                raise
            raise _unreachable(error.__context__.reason, self.api.configuration.host) from error
        if not text and not isinstance(answer, dict):
            raise InputError(
                "this is not the answer of Kubeflow Pipelines, perhaps a login page.",
                file=self.api.configuration.host,
                hint=f"Check the address. Full Kubeflow needs {TOKEN_VARIABLE} or "
                f"{COOKIES_VARIABLE} in the environment.",
            )
        return answer


def find_or_create(find: Callable[[], str], create: Callable[[], str]) -> str:
    """The ID that `find` finds, else that of what is created; another client may do that first.

    Raises:
        KfdetError: It cannot be created, and `find` returns "" afterwards, too.
    """
    if found := find():
        return found
    try:
        return create()
    except KfdetError:
        if found := find():
            return found
        raise


def _run_body(
    name: str,
    experiment_id: str,
    version: Mapping[str, str],
    arguments: Mapping[str, Any],
    pipeline_root: str,
) -> Answer:
    runtime: Answer = {"parameters": dict(arguments)}
    if pipeline_root:
        runtime["pipeline_root"] = pipeline_root
    return {
        "display_name": name,
        "experiment_id": experiment_id,
        "pipeline_version_reference": dict(version),
        "runtime_config": runtime,
    }


def connect_backend(host: str = "", namespace: str = "") -> Backend:
    """Connect to the API server at `host`.

    A token for full Kubeflow is taken from KFDET_KFP_TOKEN, cookies from KFDET_KFP_COOKIES, and a
    CA for `host` from the file that SSL_CERT_FILE names.

    Args:
        host: Its address; "": inside a cluster the Service of KFP, elsewhere the kubeconfig's
            cluster, through its API server.
        namespace: Namespace of the runs, on an installation for several users.

    Raises:
        InputError: No API server is configured, or it is for several users and no namespace is
            given.
        KfdetError: It does not answer.
    """
    from kfp_server_api import ApiClient, Configuration

    settings = Configuration()
    settings.retries = False  # nor redirects, which lead to a login page
    inside = "KUBERNETES_SERVICE_HOST" in os.environ and _POD_ACCOUNT.exists()
    if host:
        settings.ssl_ca_cert = os.environ.get("SSL_CERT_FILE")
        settings.host = (host if "://" in host else f"https://{host}").rstrip("/")
    elif inside:
        settings.host = "http://ml-pipeline.kubeflow:8888"
    else:
        try:
            load_kubeconfig(settings)
        except InputError as error:
            raise InputError(
                error.problem,
                file=error.file,
                hint=f"{error.hint} Or give --host: http://localhost:8888 after `kubectl "
                "port-forward -n kubeflow svc/ml-pipeline 8888`.",
            ) from error
        settings.host += "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"
    if token := read_credential(TOKEN_VARIABLE, settings.host):
        settings.api_key["authorization"] = f"Bearer {token}"
    elif inside and _POD_TOKEN.exists():
        settings.refresh_api_key_hook = _read_pod_token
        _read_pod_token(settings)  # without a token the client does not ask the hook for one
    cookies = read_credential(COOKIES_VARIABLE, settings.host) or None
    api = ApiClient(settings, cookie=cookies)
    backend = Backend(api, "", namespace, same_cluster=not host, version="")
    health = backend._request("GET", "/apis/v2beta1/healthz")
    several = bool(health.get("multi_user"))
    if several and not namespace:
        raise InputError(
            "this Kubeflow is for several users.",
            file=settings.host,
            hint="Give the namespace of your profile with --namespace.",
        )
    page = settings.host if host and _has_ui(backend.api) else ""
    return replace(
        backend,
        page=page,
        namespace=namespace if several else "",
        version=str(health.get("tag_name", "")),
    )


def _read_pod_token(settings: Any) -> None:
    """Read the token before each request: the kubelet replaces it while a long run is followed."""
    settings.api_key["authorization"] = f"Bearer {_POD_TOKEN.read_text().strip()}"


def _has_ui(api: Any) -> bool:
    """Whether an address serves a UI; the API server by itself has none."""
    import urllib3
    from kfp_server_api.exceptions import ApiException

    try:
        _, _, headers = api.call_api(
            "/",
            "GET",
            header_params={"Accept": "text/html"},
            response_type="str",
            auth_settings=["Bearer"],
            _request_timeout=_TIMEOUT,
        )
    except ApiException as error:
        return error.status in _REDIRECTS  # to a login page
    except urllib3.exceptions.HTTPError:
        return False
    return str(headers.get("Content-Type", "")).startswith("text/html")


def _explain(error: Any, method: str, host: str) -> KfdetError:
    """The API server's error as an exception with a remedy.

    Source of the format: google.rpc.Status as grpc-gateway writes it; Kubernetes' metav1.Status
    where its API server stands in between.
    """
    try:
        answer = json.loads(error.body)
    except (TypeError, ValueError):
        answer = {}
    if not isinstance(answer, dict):  # a proxy's
        answer = {}
    detail = answer.get("error_message") or answer.get("message") or answer.get("error")
    message = str(detail or error.reason or "no reason given").rstrip(".")
    if error.status in (*_REDIRECTS, 401, 403):
        return InputError(
            f"access denied ({error.status}): {message}.",
            file=host,
            hint=f"Set {TOKEN_VARIABLE} or {COOKIES_VARIABLE}, or log in to the cluster again.",
        )
    if error.status in (502, 503, 504):
        return _unreachable(message, host)
    if error.status == 404:
        return InputError(
            f"not found: {message}.",
            file=host,
            hint="Check the run's ID, and that Kubeflow Pipelines is installed at this address.",
        )
    trouble = f"Kubeflow Pipelines refused ({error.status}): {message}."
    # only a read is repeated: anything else may have taken effect
    passing = method == "GET" and (error.status == 429 or error.status >= 500)
    return BackendUnreachableError(trouble) if passing else KfdetError(trouble)


def _unreachable(error: object, host: str) -> BackendUnreachableError:
    cause = " ".join(str(getattr(error, "reason", None) or error).split())
    if "CERTIFICATE_VERIFY_FAILED" in cause:
        return BackendUnreachableError(
            f"Kubeflow Pipelines at {host} has an untrusted certificate: {cause}. Set "
            "SSL_CERT_FILE to the file of its CA."
        )
    return BackendUnreachableError(
        f"Kubeflow Pipelines at {host} cannot be reached: {cause}. Is it up (kubectl get pods -n "
        "kubeflow), and the address right (--host)?"
    )
