"""Ask a served detector about a picture, and draw its answer.

kfdet serve demo/run/model &
python examples/2-ask-an-endpoint/ask.py http://localhost:8501 detector photo.jpg drawn.jpg

The same against a cluster, with the URL that `kfdet endpoints` lists and the endpoint's name; with
grpc://localhost:8500 over gRPC. A run's folder or a .tflite file in place of the URL detects in
this process.

A model on this machine knows its recommended threshold. With the word "cluster" in place of the
URL, both are looked up in your cluster: ask.py cluster toys photo.jpg drawn.jpg. A URL has no
threshold: pass one as the fifth argument.
"""

import sys

import kfdet


def main(model: str, name: str, photo: str, drawn: str, threshold: str = "") -> None:
    """Print one line per detection; write the photo with boxes to the file `drawn`."""
    chosen = float(threshold) if threshold else None
    if model == "cluster":
        opened = kfdet.load_endpoint(name, threshold=chosen)
    else:
        opened = kfdet.Detector.load(model, name=name, threshold=chosen)
    with opened as detector:
        found = detector.detect(photo)
    for label, score, box in zip(found.labels, found.scores, found.boxes, strict=True):
        print(f"{label} {score:.0%} at {', '.join(f'{side:.0f}' for side in box)}")
    found.draw().save(drawn)


if __name__ == "__main__":
    main(*sys.argv[1:])
