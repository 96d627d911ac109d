"""The sample dataset."""
