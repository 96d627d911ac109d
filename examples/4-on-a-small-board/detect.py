"""Detect on a Raspberry Pi or another small board, without TensorFlow and without kfdet.

pip install ai-edge-litert pillow
python examples/4-on-a-small-board/detect.py run/model.tflite photo.jpg
"""

import json
import sys
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps


def main(model: str, *photos: str) -> None:
    """Print one line per detection: photo, label, score, and the box in pixels."""
    with zipfile.ZipFile(model) as attached:  # labels and thresholds are a zip behind the model
        labels = attached.read("labels.txt").decode().removesuffix("\n").split("\n")
        threshold = json.loads(attached.read("thresholds.json"))["overall"]
    interpreter = Interpreter(model, num_threads=4)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    results = [each["index"] for each in interpreter.get_output_details()]
    _, height, width, _ = given["shape"]

    for photo in photos:
        picture = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
        scale = min(height / picture.height, width / picture.width)
        fitted = round(picture.width * scale), round(picture.height * scale)
        image = np.zeros((1, height, width, 3), np.uint8)  # top left corner, the rest stays black
        image[0, : fitted[1], : fitted[0]] = picture.resize(fitted, Image.Resampling.BILINEAR)

        interpreter.set_tensor(given["index"], image)
        interpreter.invoke()
        boxes, classes, scores, count = map(interpreter.get_tensor, results)

        for index in range(int(count[0])):
            if scores[0, index] >= threshold:
                top, left, bottom, right = boxes[0, index] * [height, width, height, width] / scale
                place = f"{left:.0f}, {top:.0f}, {right:.0f}, {bottom:.0f}"
                label = labels[int(classes[0, index])]
                print(f"{photo}: {label} {scores[0, index]:.0%} at {place}")


if __name__ == "__main__":
    main(*sys.argv[1:])
