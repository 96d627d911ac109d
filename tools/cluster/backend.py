"""Kubeflow Pipelines with Argo Workflows: what runs a compiled pipeline.

The images are built here; names, ports, accounts and settings are those that driver, launcher and
SDK look for: https://www.kubeflow.org/docs/components/pipelines/operator-guides.
"""

import json

import database
import object_store
from api import (
    Object,
    account,
    apply,
    deployment,
    kubectl,
    named,
    rule,
    service,
    wait_for_deployment,
)
from build import module_folder
from layout import (
    DATABASE_PORT,
    KFP,
    NAMESPACE,
    PIPELINES_BUCKET,
    PIPELINES_PORT,
    STORE_PORT,
    STORE_USER,
    image_of,
    password,
)
from processes import say

WORKFLOW_PROGRAMS = ["workflow-controller", "argoexec"]
_CREDENTIALS = "mlpipeline-minio-artifact"
_ENDPOINT = f"{object_store.NAME}.{NAMESPACE}:{STORE_PORT}"
_TOKENS = "/var/run/secrets/kubeflow/tokens"


def up() -> None:
    """Deploy Argo's controller and Kubeflow Pipelines' API server and persistence agent."""
    say("pipelines: Argo Workflows, Kubeflow Pipelines")
    workflows = module_folder("argo", "github.com/argoproj/argo-workflows/v4")
    crds = workflows / "manifests" / "base" / "crds" / "full"
    kubectl("apply", "--server-side", "--force-conflicts", "-k", str(crds))
    secret = {"accesskey": STORE_USER, "secretkey": password(object_store.NAME)}
    apply(
        _scheduled_workflows(),
        named("Secret", _CREDENTIALS, stringData=secret),
        named("Secret", "mysql-secret", stringData={"password": password("database")}),
        *_workflow_controller(),
        *_api_server(),
        *_persistence_agent(),
        *_runner(),
    )
    for name in ("workflow-controller", "ml-pipeline", "ml-pipeline-persistenceagent"):
        wait_for_deployment(name)


def _workflow_controller() -> list[Object]:
    name = "workflow-controller"
    container = {
        "image": image_of(name),
        "args": ["--configmap", f"{name}-configmap", "--executor-image", image_of("argoexec")],
        "env": [
            {"name": "LEADER_ELECTION_DISABLE", "value": "true"},
            # How often it looks at a run; with the default, 10 s, a test mostly waits.
            {"name": "DEFAULT_REQUEUE_TIME", "value": "2s"},
            # Without it, deleting a pod is an error, which KFP's stages do not retry.
            {"name": "ARGO_POD_STATUS_CAPTURE_FINALIZER", "value": "true"},
        ],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 6060}, "periodSeconds": 2},
    }
    logs = {
        "archiveLogs": True,
        "s3": {
            "endpoint": _ENDPOINT,
            "bucket": PIPELINES_BUCKET,
            "keyFormat": "private-artifacts/{{workflow.namespace}}/{{workflow.name}}/{{pod.name}}",
            "insecure": True,
            "accessKeySecret": {"name": _CREDENTIALS, "key": "accesskey"},
            "secretKeySecret": {"name": _CREDENTIALS, "key": "secretkey"},
        },
    }
    settings = {
        "artifactRepository": json.dumps(logs),
        "executor": json.dumps({"imagePullPolicy": "IfNotPresent"}),
    }
    rules = [
        rule("core", "pods pods/exec persistentvolumeclaims"),
        rule("core", "configmaps secrets serviceaccounts namespaces", "get list watch"),
        rule("core events.k8s.io", "events", "create patch"),
        rule("argoproj.io", "*"),
        rule("coordination.k8s.io", "leases"),
        rule("policy", "poddisruptionbudgets", "create get delete"),
    ]
    return [
        *account(name, rules),
        named("ConfigMap", f"{name}-configmap", data=settings),
        deployment(name, container, name),
    ]


def _api_server() -> list[Object]:
    name = "ml-pipeline"
    settings = {
        "DBDriverName": "mysql",
        "DBConfig": {
            "MySQLConfig": {
                "User": database.USER,
                "Host": "mysql",
                "Port": str(DATABASE_PORT),
                "DBName": database.NAME,
                "GroupConcatMaxLen": "4194304",
            },
            "ConMaxLifeTime": "120s",
        },
        "ObjectStoreConfig": {
            "Host": f"{object_store.NAME}.{NAMESPACE}",
            "Port": str(STORE_PORT),
            "Secure": False,
            "BucketName": PIPELINES_BUCKET,
            "PipelinePath": "pipelines",
        },
        "CacheEnabled": "true",
        "InitConnectionTimeout": "6m",
        "DEFAULTPIPELINERUNNERSERVICEACCOUNT": "pipeline-runner",
    }
    environment = {
        "CLUSTER_DOMAIN": "cluster.local",
        # For the first version's UI; the server does not start without the two names.
        "ML_PIPELINE_VISUALIZATIONSERVER_SERVICE_HOST": "ml-pipeline-visualizationserver",
        "ML_PIPELINE_VISUALIZATIONSERVER_SERVICE_PORT": "8888",
        "POD_NAMESPACE": NAMESPACE,
        "PIPELINE_LOG_LEVEL": "1",
        "PUBLISH_LOGS": "true",
        "TAG_NAME": KFP,
        "V2_DRIVER_IMAGE": image_of("driver"),
        "V2_LAUNCHER_IMAGE": image_of("launcher-v2"),
    }
    secrets = {
        "DBCONFIG_MYSQLCONFIG_PASSWORD": ("mysql-secret", "password"),
        "OBJECTSTORECONFIG_ACCESSKEY": (_CREDENTIALS, "accesskey"),
        "OBJECTSTORECONFIG_SECRETACCESSKEY": (_CREDENTIALS, "secretkey"),
    }
    container = {
        "image": image_of("apiserver"),
        "args": ["--config=/config", "--sampleconfig=", "--logtostderr=true", "--logLevel=info"],
        "env": [
            *({"name": key, "value": value} for key, value in environment.items()),
            *(
                {"name": key, "valueFrom": {"secretKeyRef": {"name": of, "key": field}}}
                for key, (of, field) in secrets.items()
            ),
        ],
        "readinessProbe": {
            "httpGet": {"path": "/apis/v2beta1/healthz", "port": PIPELINES_PORT},
            "periodSeconds": 1,
        },
        "volumeMounts": [{"name": "config", "mountPath": "/config"}],
    }
    rules = [
        rule("core", "pods pods/log", "get list delete"),
        rule("core", "configmaps secrets", "get"),
        rule("argoproj.io", "workflows"),
        rule("kubeflow.org", "scheduledworkflows scheduledworkflows/finalizers"),
        rule("pipelines.kubeflow.org", "pipelines", "get list watch"),
        rule("authorization.k8s.io", "subjectaccessreviews", "create"),
        rule("authentication.k8s.io", "tokenreviews", "create"),
    ]
    volumes = [{"name": "config", "configMap": {"name": name}}]
    return [
        *account(name, rules),
        named("ConfigMap", name, data={"config.json": json.dumps(settings)}),
        deployment(name, container, name, volumes=volumes),
        service(name, {"http": PIPELINES_PORT, "grpc": 8887}),
    ]


def _persistence_agent() -> list[Object]:
    name = "ml-pipeline-persistenceagent"
    container = {
        "image": image_of("persistence_agent"),
        "args": [f"--namespace={NAMESPACE}", "--logtostderr=true", "--logLevel=info"],
        "volumeMounts": [{"name": "token", "mountPath": _TOKENS}],
    }
    token = {"path": "persistenceagent-sa-token", "audience": "pipelines.kubeflow.org"}
    projected = {"sources": [{"serviceAccountToken": token}]}
    rules = [
        rule("argoproj.io", "workflows", "get list watch"),
        rule("kubeflow.org", "scheduledworkflows", "get list watch"),
        rule("pipelines.kubeflow.org", "scheduledworkflows workflows", "report"),
        rule("pipelines.kubeflow.org", "runs", "reportMetrics readArtifact"),
    ]
    volumes = [{"name": "token", "projected": projected}]
    return [*account(name, rules), deployment(name, container, name, volumes=volumes)]


def _runner() -> list[Object]:
    """Return the account of the runs' pods, with only the rights of a stock installation."""
    name = "pipeline-runner"
    rules = [
        rule("core", "secrets", "get"),
        rule("core", "configmaps", "get list watch"),
        rule("core", "persistentvolumes persistentvolumeclaims"),
        rule("core", "pods pods/exec pods/log services"),
        rule("core apps", "deployments replicasets"),
        rule("batch", "jobs"),
        rule("kubeflow.org", "*"),
        rule("argoproj.io", "workflows", "get list watch update patch"),
        rule("argoproj.io", "workflowtaskresults", "create patch"),
    ]
    launcher = {"defaultPipelineRoot": f"minio://{PIPELINES_BUCKET}/v2/artifacts"}
    role = {"kind": "Role", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}
    return [
        named("ServiceAccount", name),
        named("Role", name, rules=rules),
        named("RoleBinding", name, roleRef=role, subjects=[subject]),
        named("ConfigMap", "kfp-launcher", data=launcher),
    ]


def _scheduled_workflows() -> Object:
    """Return the kind of recurring runs: unused here, but API server and agent look for it."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names = {
        "kind": "ScheduledWorkflow",
        "listKind": "ScheduledWorkflowList",
        "plural": "scheduledworkflows",
        "singular": "scheduledworkflow",
    }
    version = {"name": "v1beta1", "served": True, "storage": True}
    version["schema"] = {"openAPIV3Schema": schema}
    spec = {"group": "kubeflow.org", "scope": "Namespaced", "names": names, "versions": [version]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "scheduledworkflows.kubeflow.org"},
        "spec": spec,
    }
