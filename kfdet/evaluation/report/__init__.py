"""Tell what was measured."""
