"""What to do next: advice that follows from the numbers of one evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Rules of thumb, not laws: each is where a person who looks at many reports would start to act.
_FEW_TRAINING_BOXES = 100
_FEW_VALIDATION_BOXES = 50
_WEAKER = 0.15  # AP50 below the mean of all labels
_FALSE_POSITIVES = 0.1  # per background image
_FEW_ERRORS = 5
_LOOSE = 0.5  # AP75 as a share of AP50
_CONFUSED = 0.05  # share of a label's objects
_RISING = 0.01  # AP50 gained by the last validation


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do: what was seen, and what helps."""

    finding: str
    action: str


def advise(
    metrics: Mapping[str, Any], dataset: Mapping[str, Any], history: Mapping[str, Any]
) -> list[Advice]:
    """Advice in the order in which to act on it.

    Args:
        metrics: As `kfdet.evaluation.metrics.describe` gives it.
        dataset: dataset.json of the records.
        history: history.json of the training, {} where there is none.
    """
    return [
        *_labels(metrics, dataset),
        *_errors(metrics),
        *_sizes(metrics),
        *_background(metrics),
        *_placement(metrics),
        *_training(history),
        *_trust(metrics),
    ]


def _labels(metrics: Mapping[str, Any], dataset: Mapping[str, Any]) -> list[Advice]:
    advice = []
    drawn = dataset["counts"]["train"]["labels"]
    for label, values in metrics["per_class"].items():
        boxes = drawn.get(label, 0)
        if values["AP50"] is None:
            advice.append(
                Advice(
                    f"“{label}” has no box in the validation frames: nothing is known about it.",
                    "Film and label it in one more video, or raise --val-share.",
                )
            )
        elif boxes < _FEW_TRAINING_BOXES and values["AP50"] < 0.9:
            advice.append(
                Advice(
                    f"“{label}” has {boxes} training {_boxes(boxes)}, which is few.",
                    "Label it in more videos, in other places, light and sizes.",
                )
            )
        elif metrics["AP50"] - values["AP50"] > _WEAKER:
            advice.append(
                Advice(
                    f"“{label}” is found worst: AP50 {values['AP50']:.2f}, while all labels "
                    f"reach {metrics['AP50']:.2f} together; {boxes} training boxes are not few.",
                    "Look at its misses below: are its boxes drawn alike everywhere, and does "
                    "training show it as validation does?",
                )
            )
    return advice


def _errors(metrics: Mapping[str, Any]) -> list[Advice]:
    advice = []
    names, matrix = metrics["confusion_matrix"]["labels"], metrics["confusion_matrix"]["matrix"]
    for row, true in enumerate(names[:-1]):
        for column, predicted in enumerate(names[:-1]):
            count, total = matrix[row][column], sum(matrix[row])
            if row != column and count >= _FEW_ERRORS and count > _CONFUSED * total:
                advice.append(
                    Advice(
                        f"{count} of {total} “{true}” are taken for “{predicted}”.",
                        "Check that both labels are used alike by everybody who draws; then add "
                        "frames that show the two side by side.",
                    )
                )
    errors = metrics["errors"]
    wrong = sum(count for kind, count in errors.items() if kind != "missed")
    if errors["background"] > max(_FEW_ERRORS, wrong / 2):
        advice.append(
            Advice(
                f"{errors['background']} of {wrong} false positives lie on nothing labelled.",
                "Look at them below. Objects that nobody labelled: label them. Things that look "
                "like an object: film them without it, and raise --negative-share.",
            )
        )
    if errors["duplicate"] > max(_FEW_ERRORS, wrong / 3):
        advice.append(
            Advice(
                f"{errors['duplicate']} of {wrong} false positives are second boxes on one object.",
                "Check that no object is annotated twice; longer training helps too.",
            )
        )
    return advice


def _sizes(metrics: Mapping[str, Any]) -> list[Advice]:
    objects, missed = metrics["objects_by_size"], metrics["missed_by_size"]
    total = sum(objects.values())
    others = total - objects["small"]
    if not objects["small"] or missed["small"] < _FEW_ERRORS:
        return []
    share = missed["small"] / objects["small"]
    rest = (sum(missed.values()) - missed["small"]) / others if others else 0.0
    if share < 1.5 * rest or share < 0.2:
        return []
    return [
        Advice(
            f"{missed['small']} of {objects['small']} small objects (below 32 × 32 pixels) are "
            "missed.",
            "Train with a larger --input-size, and do not shrink the frames (--longest-side 0).",
        )
    ]


def _background(metrics: Mapping[str, Any]) -> list[Advice]:
    found = metrics["false_positives_per_background_image"]
    if found is None:
        return [
            Advice(
                "No validation frame is free of objects: false alarms could not be measured.",
                "Film the place without the objects too, and set the video's tracks outside there.",
            )
        ]
    if found < _FALSE_POSITIVES:
        return []
    return [
        Advice(
            f"On frames without any object the detector still finds {found:.2f} a frame.",
            "Raise --negative-share, or add videos of the place without the objects.",
        )
    ]


def _placement(metrics: Mapping[str, Any]) -> list[Advice]:
    ap50, ap75 = metrics["AP50"], metrics["AP75"]
    if ap50 is None or ap50 < 0.5 or ap75 >= _LOOSE * ap50:
        return []
    return [
        Advice(
            f"Objects are found (AP50 {ap50:.2f}) but boxes sit loosely (AP75 {ap75:.2f}).",
            "Put key frames closer together where objects turn or speed up, draw boxes tightly, "
            "and try a larger --input-size.",
        )
    ]


def _training(history: Mapping[str, Any]) -> list[Advice]:
    validations = [value["AP50"] for value in history.get("val", [])]
    if len(validations) < 2:
        return []
    best = max(range(len(validations)), key=validations.__getitem__)
    if best == len(validations) - 1 and validations[-1] - validations[-2] > _RISING:
        return [
            Advice(
                "AP50 was still rising when training ended.",
                f"Train longer: --steps {2 * int(history['steps'][-1])}.",
            )
        ]
    if best < len(validations) // 2 and validations[best] - validations[-1] > _RISING:
        return [
            Advice(
                "AP50 was best in the first half of the training and fell afterwards: the network "
                "learns the training frames by heart.",
                "Add videos that differ, rather than steps.",
            )
        ]
    return []


def _trust(metrics: Mapping[str, Any]) -> list[Advice]:
    advice = []
    boxes = sum(metrics["objects_by_size"].values())
    if boxes < _FEW_VALIDATION_BOXES:
        advice.append(
            Advice(
                f"The validation frames hold {boxes} {_boxes(boxes)}: every number here is rough.",
                "Label more, or raise --val-share.",
            )
        )
    if metrics["split"]["strategy"] == "time-block":
        advice.append(
            Advice(
                "Training saw other minutes of the same videos: the place and the light are known.",
                "Film and label another video: with enough of them, whole videos are kept for "
                "validation, and the numbers tell how the detector does in a new place.",
            )
        )
    return advice


def _boxes(count: int) -> str:
    return "box" if count == 1 else "boxes"
