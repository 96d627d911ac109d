"""From a picture to detections."""
