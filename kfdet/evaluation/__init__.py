"""COCO metrics, error analysis and the report."""
