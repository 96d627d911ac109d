"""Probing and decoding videos, and the shards that frames travel in."""
