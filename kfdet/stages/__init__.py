"""One module per stage of the pipeline: files and settings in, files out.

The stages are plain functions: they return or raise. `kfdet.components` makes processes of them.
"""
