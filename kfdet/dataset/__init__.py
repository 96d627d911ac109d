"""A folder becomes checked items."""
