"""Batch scoring: a folder or bucket of pictures and videos through a model, without an endpoint."""
