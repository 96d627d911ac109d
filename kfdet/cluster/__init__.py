"""The Kubernetes API, and the names that are agreed there."""
