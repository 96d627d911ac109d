"""Turn a picture into detections: one `Detector` over exported models, TFLite files and endpoints.

Importing this package needs the base install only; TensorFlow is imported when a model is loaded.
"""

from kfdet.detection.detections import Detections
from kfdet.detection.detector import Detector
from kfdet.detection.endpoint import EndpointError

__all__ = ["Detections", "Detector", "EndpointError"]
