"""Serve an exported model with TensorFlow Serving's REST and gRPC APIs."""
