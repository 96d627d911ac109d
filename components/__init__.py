"""KFP components: one file a stage, each a thin call of the library."""
