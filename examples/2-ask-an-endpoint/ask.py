"""Ask a served detector about a picture, and draw what it says.

kfdet serve demo/run/model &
python examples/2-ask-an-endpoint/ask.py http://localhost:8501 detector photo.jpg drawn.jpg

The same against a cluster, with the URL that `kfdet endpoints` lists and the endpoint's name; with
grpc://localhost:8500 over gRPC.
"""

import sys
from pathlib import Path

import cv2

from kfdet.detection.drawing import draw_boxes
from kfdet.detection.endpoint import connect

THRESHOLD = 0.3


def main(url: str, model: str, photo: str, drawn: str) -> None:
    """Print a line a detection; write the photo with boxes to the file `drawn`."""
    with connect(url, model) as endpoint:
        found = endpoint.detect(Path(photo).read_bytes())
    sure = found.scores >= THRESHOLD
    labels = [label for label, keep in zip(found.labels, sure, strict=True) if keep]
    boxes, scores = found.boxes[sure], found.scores[sure]
    for label, score, box in zip(labels, scores, boxes, strict=True):
        print(f"{label} {score:.0%} at {', '.join(f'{side:.0f}' for side in box)}")
    image = cv2.cvtColor(cv2.imread(photo), cv2.COLOR_BGR2RGB)
    cv2.imwrite(drawn, cv2.cvtColor(draw_boxes(image, boxes, labels, scores), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main(*sys.argv[1:])
