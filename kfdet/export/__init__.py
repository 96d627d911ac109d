"""SavedModel, TFLite and the download zip."""
