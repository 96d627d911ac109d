"""Training with tf-models-official."""
