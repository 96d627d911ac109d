"""An exported model behind TensorFlow Serving's APIs, and a client for them."""
