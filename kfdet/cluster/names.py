"""The names that the code, the manifests and the pipeline agree on; a test compares them."""

from __future__ import annotations

GROUP = "serving.kserve.io"
API_VERSION = f"{GROUP}/v1beta1"
PLURAL = "inferenceservices"
FIELD_MANAGER = "kfdet"

NAMESPACE = "kubeflow"
"""The namespace of runs and endpoints, unless another one is given."""

SERVING_ACCOUNT = "kfdet-serving"
"""ServiceAccount of the serving pods; names the Secret that the model is fetched with."""

DEPLOYER_ACCOUNT = "kfdet-deployer"
"""ServiceAccount that may change kfdet's InferenceServices, and nothing else."""

STORAGE_SECRET = "kfdet-storage"  # noqa: S105
"""Secret with the address of the object store and the credentials of the runs."""

READER_SECRET = "kfdet-storage-reader"  # noqa: S105
"""The same with credentials that only read: of the serving pods and TensorBoard."""

NOTIFY_VARIABLE = "KFDET_NOTIFY_URL"
"""Environment variable of the notification stage: a webhook's address, from a Secret, because
whoever knows it can write there."""

RUNTIME = "kfdet-tensorflow-serving-v1"
"""ServingRuntime of new versions. KServe restarts all endpoints whose runtime changes; so a changed
one gets another name, and an endpoint comes to it with its next version."""

REST_PORT = 8080
GRPC_PORT = 9000
METRICS_PATH = "/monitoring/prometheus/metrics"
"""Where TensorFlow Serving has its metrics in Prometheus' text format."""

MANAGED_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "kfdet"

VERSION = "kfdet.io/version"
STORAGE_URI = "kfdet.io/storage-uri"
METRICS = "kfdet.io/metrics"
START = "kfdet.io/start"
STARTED = "kfdet.io/started"
RUN = "kfdet.io/run"
DATASET = "kfdet.io/dataset"
RUNTIME_USED = "kfdet.io/runtime"
PREVIOUS = "kfdet.io/previous"
CANARY = "kfdet.io/canary"
THRESHOLDS = "kfdet.io/thresholds"
PROMOTION = "kfdet.io/promotion"
REFUSED = "kfdet.io/refused"
CONFIRMED = "kfdet.io/confirmed"
"""Both in status.annotations: KServe copies those of the metadata to the pods, which would restart.
"""

MODE = f"{GROUP}/deploymentMode"
AUTOSCALER = f"{GROUP}/autoscalerClass"
POD_LABEL = f"{GROUP}/inferenceservice"
"""Label that KServe puts on the pods of an InferenceService."""
SOURCE_URI = f"internal.{GROUP}/storage-initializer-sourceuri"
"""Annotation that KServe puts on a pod: the storageUri of its model."""

CANDIDATE_SUFFIX = "-candidate"
LONGEST_NAME = 36
"""Letters of an endpoint. The names that KServe derives from one, NAME-candidate-predictor-00001
and NAME-vVERSION-predictor, have to fit into a DNS label of 63."""
