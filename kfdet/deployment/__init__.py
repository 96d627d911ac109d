"""Serving a model on a cluster: KServe InferenceServices, their versions and their readiness."""
