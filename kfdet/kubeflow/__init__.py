"""The pipeline on a cluster: submit it to Kubeflow Pipelines, and follow a run."""
