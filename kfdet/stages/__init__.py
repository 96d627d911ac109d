"""One module a pipeline stage: files and plain parameters in, files out."""
