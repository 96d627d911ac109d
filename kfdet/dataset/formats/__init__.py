"""One module per annotation format, reading and writing side by side."""
