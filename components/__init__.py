"""KFP components: one file per stage, each a thin call of the library."""
