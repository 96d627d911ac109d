"""What to do next: advice that follows from the numbers of one evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kfdet.evaluation.report.command import Command
from kfdet.parameters import DEFAULTS
from kfdet.training.settings import fitted_steps

# Rules of thumb, not laws: each is where a person who looks at many reports would start to act.
_FEW_TRAINING_BOXES = 100
_FEW_VALIDATION_BOXES = 50
_GOOD = 0.9  # AP50 from which more of the same helps little
_USABLE = 0.5  # AP50 below which an unfinished training explains most errors
_WEAKER = 0.15  # AP50 below the mean of all labels
_FALSE_POSITIVES = 0.1  # per background image
_FEW_ERRORS = 5
_LOOSE = 0.5  # AP75 as a share of AP50
_CONFUSED = 0.05  # share of a label's objects
_RISING = 0.01  # AP50 gained by the last validation
_FALLING = 0.9  # loss at the end as a share of that in the middle
_MANY, _NAMED = 10, 3  # of more than so many labels, so many are named
_INPUT_MULTIPLE = 128  # fits the pyramid of every network


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do: what was seen, what helps, and the command to type."""

    finding: str
    action: str
    command: str


def advise(
    metrics: Mapping[str, Any],
    statistics: Mapping[str, Any],
    history: Mapping[str, Any],
    command: Command,
) -> list[Advice]:
    """Advice, first what helps most.

    A training that ended too early comes first, and where it explains the errors nothing is said
    about these. Then what could not be measured, the errors by their number, and what the numbers
    do not cover.

    Args:
        metrics: As `kfdet.evaluation.metrics.describe` gives it.
        statistics: dataset.json of the records.
        history: history.json of the training, {} where there is none.
        command: What made the run.
    """
    training = _unfinished(metrics, statistics, history, command)
    if training:  # whatever else is done next time: not as short as this time
        command = Command.parse(training[0].command)
    unmeasured = _unmeasured(metrics, command)
    if training and (metrics["AP50"] or 0.0) < _USABLE:
        return [*training, *unmeasured]
    by_errors = [
        *_worst(_labels(metrics, statistics, command)),
        *_worst(_confusions(metrics, command)),
        *_false_positives(metrics, command),
        *_small_objects(metrics, history, command),
        *_loose_boxes(metrics, history, command),
        *_doubtful_labels(metrics, command),
    ]
    return [
        *training,
        *unmeasured,
        *(advice for _, advice in sorted(by_errors, key=lambda item: -item[0])),
        *_memorised(history, command),
        *_uncovered(metrics, command),
    ]


def _unfinished(
    metrics: Mapping[str, Any],
    statistics: Mapping[str, Any],
    history: Mapping[str, Any],
    command: Command,
) -> list[Advice]:
    """Whether training ended before it had learned what it could."""
    ap50, validations = metrics["AP50"], [v["AP50"] for v in history.get("val", [])]
    if ap50 is None or not validations:
        return []
    loss, parameters = history["loss"], history["parameters"]
    asked = parameters.get("steps") or history["steps"][-1]
    examples = statistics["counts"]["train"]["examples"]
    usual = fitted_steps(examples, parameters["batch_size"], bool(parameters.get("gpus")))
    if asked < usual / 2 and ap50 < _GOOD:
        return [
            Advice(
                f"Training had only {asked} {'step' if asked == 1 else 'steps'}; about {usual} "
                "suit this dataset.",
                "Train longer: leave out the number of steps, and it is fitted to the dataset.",
                str(command.without("--steps")),
            )
        ]
    best = max(range(len(validations)), key=validations.__getitem__)
    rising = best == len(validations) - 1 > 0 and validations[-1] - validations[-2] > _RISING
    falling = ap50 < _USABLE and len(loss) > 1 and loss[-1] < _FALLING * loss[len(loss) // 2]
    if history.get("out_of_time") and (rising or falling):
        finding = "The deadline ended the training while it still improved."
        return [Advice(finding, "Allow it more time.", str(command.without("--deadline")))]
    if history.get("stopped_early"):
        if not falling:
            return []
        finding = "Training stopped early, although the loss was still falling."
        return [Advice(finding, "Train longer.", str(command.with_option("--early-stop", 0)))]
    if rising or falling:
        finding = f"{'AP50 was still rising' if rising else 'The loss was still falling'} when "
        finding += "training ended."
        return [Advice(finding, "Train longer.", str(command.with_option("--steps", 2 * asked)))]
    return []


def _unmeasured(metrics: Mapping[str, Any], command: Command) -> list[Advice]:
    """Labels and objects that are missing in the evaluation frames."""
    unit, share = _unit(metrics), float(metrics["split"]["val_share"])
    larger = str(command.with_option("--val-share", f"{min(0.5, share + 0.1):g}"))
    unknown = [label for label, values in metrics["per_class"].items() if values["AP50"] is None]
    advice = _unknown(unknown, unit, larger)
    truth = metrics["truth"]
    boxes, draw = truth["boxes"], truth["draw"]
    if boxes < _FEW_VALIDATION_BOXES:
        finding = (
            f"The evaluation {unit}s have only {boxes} {_boxes(boxes)} drawn by a person: every "
            "number is rough."
        )
        if draw:
            missing = sum(one["boxes"] for one in draw)
            action = (
                f"Draw every object on the {len(draw)} {unit}{'s' if len(draw) > 1 else ''} that "
                f"“How it was measured” lists: {missing} {_boxes(missing)}."
            )
            advice.append(Advice(finding, action, str(command)))
        else:
            action = f"Label more, or keep more {unit}s for evaluation."
            advice.append(Advice(finding, action, larger))
    return advice


def _unknown(labels: Sequence[str], unit: str, command: str) -> list[Advice]:
    """Labels that the evaluation frames do not show: one by one, or many of them together."""
    make, one, more = (
        ("Label", "more images", "more images")
        if unit == "image"
        else ("Film and label", "one more video", "more videos")
    )
    if len(labels) <= _MANY:
        return [
            Advice(
                f"No evaluation {unit} has a box of “{label}”: nothing is known about it.",
                f"{make} it in {one}, or keep more {unit}s for evaluation.",
                command,
            )
            for label in labels
        ]
    named = ", ".join(f"“{label}”" for label in labels[:_NAMED])
    return [
        Advice(
            f"No evaluation {unit} has a box of {len(labels)} labels, of {named} for example: "
            "nothing is known about them.",
            f"{make} them in {more}, or keep more {unit}s for evaluation.",
            command,
        )
    ]


def _worst(advice: list[tuple[int, Advice]]) -> list[tuple[int, Advice]]:
    """All pieces of advice of one kind; only those about most errors where they are many."""
    worst = sorted(advice, key=lambda item: -item[0])
    return worst if len(worst) <= _MANY else worst[:_NAMED]


def _labels(
    metrics: Mapping[str, Any], statistics: Mapping[str, Any], command: Command
) -> list[tuple[int, Advice]]:
    """Labels that are found badly, with the number of their missed objects."""
    advice = []
    training_boxes = statistics["counts"]["train"]["labels"]
    matrix = metrics["confusion_matrix"]["matrix"]
    for row, (label, values) in enumerate(metrics["per_class"].items()):
        boxes, missed = training_boxes.get(label, 0), matrix[row][-1]
        if values["AP50"] is None:
            continue
        if boxes < _FEW_TRAINING_BOXES and values["AP50"] < _GOOD:
            finding = f"“{label}” has {boxes} training {_boxes(boxes)}, which is few."
            action = "Label more of it, in other places, light and sizes, and train again."
        elif metrics["AP50"] - values["AP50"] > _WEAKER:
            finding = (
                f"“{label}” is found worst: AP50 {values['AP50']:.2f}, while all labels reach "
                f"{metrics['AP50']:.2f} together; {boxes} training boxes are not few."
            )
            action = (
                "Look at its misses below: are its boxes drawn alike everywhere, and do the "
                "training frames show it as the evaluation frames do? Correct or add labels, and "
                "train again."
            )
        else:
            continue
        advice.append((missed, Advice(finding, action, str(command))))
    return advice


def _confusions(metrics: Mapping[str, Any], command: Command) -> list[tuple[int, Advice]]:
    """Pairs of labels, with the number of their confusions."""
    advice = []
    names, matrix = metrics["confusion_matrix"]["labels"], metrics["confusion_matrix"]["matrix"]
    for row, true in enumerate(names[:-1]):
        objects = matrix[row][row] + matrix[row][-1]
        for column, predicted in enumerate(names[:-1]):
            count = matrix[row][column]
            if row != column and count >= _FEW_ERRORS and count > _CONFUSED * objects:
                found = Advice(
                    f"“{true}” is taken for “{predicted}” {count} times, with {objects} objects.",
                    "Check that everybody who labels uses the two labels alike; then add frames "
                    "that show the two side by side, and train again.",
                    str(command),
                )
                advice.append((count, found))
    return advice


def _false_positives(metrics: Mapping[str, Any], command: Command) -> list[tuple[int, Advice]]:
    """Detections where there is nothing, or something that was found before, with their number."""
    advice = []
    errors = metrics["errors"]
    wrong = sum(count for kind, count in errors.items() if kind != "missed")
    per_image = metrics["false_positives_per_background_image"] or 0.0
    many = errors["background"] > max(_FEW_ERRORS, wrong / 2)
    if many or per_image >= _FALSE_POSITIVES:
        finding = f"{errors['background']} of {wrong} false positives lie on nothing labelled"
        if per_image >= _FALSE_POSITIVES:
            finding += f"; {_unit(metrics)}s without objects have {per_image:.2f} each"
        share = float(command.option("--negative-share") or DEFAULTS.negative_share)
        found = Advice(
            f"{finding}.",
            "Look at them below. Label objects that have no label yet. Things that look like "
            "an object: film them without it, and train with more background.",
            str(command.with_option("--negative-share", f"{min(0.5, 2 * share or 0.1):g}")),
        )
        advice.append((errors["background"], found))
    if errors["duplicate"] > max(_FEW_ERRORS, wrong / 3):
        found = Advice(
            f"{errors['duplicate']} of {wrong} false positives are second boxes on one object.",
            "Check that no object is labelled twice; longer training helps, too.",
            f"kfdet check {command.dataset}",
        )
        advice.append((errors["duplicate"], found))
    return advice


def _small_objects(
    metrics: Mapping[str, Any], history: Mapping[str, Any], command: Command
) -> list[tuple[int, Advice]]:
    """Small objects that are missed more often than others, with their number."""
    objects, missed = metrics["objects_by_size"], metrics["missed_by_size"]
    others = sum(objects.values()) - objects["small"]
    if not objects["small"] or missed["small"] < _FEW_ERRORS:
        return []
    share = missed["small"] / objects["small"]
    rest = (sum(missed.values()) - missed["small"]) / others if others else 0.0
    if share < 1.5 * rest or share < 0.2:
        return []
    return [
        (
            missed["small"],
            Advice(
                f"{missed['small']} of {objects['small']} small objects (below 32 × 32 pixels) are "
                "missed.",
                "Train with a larger input, and with frames that are not shrunk.",
                str(_larger_input(history, command.without("--longest-side"))),
            ),
        )
    ]


def _loose_boxes(
    metrics: Mapping[str, Any], history: Mapping[str, Any], command: Command
) -> list[tuple[int, Advice]]:
    """Boxes that overlap their object too little, with the number of those that are wrong."""
    ap50, ap75 = metrics["AP50"], metrics["AP75"]
    if ap50 is None or ap50 < _USABLE or ap75 >= _LOOSE * ap50:
        return []
    finding = f"Objects are found (AP50 {ap50:.2f}), but boxes are loose (AP75 {ap75:.2f})."
    action = (
        "Put key frames closer together where objects turn or speed up, draw boxes tightly, and "
        "train with a larger input."
    )
    advice = Advice(finding, action, str(_larger_input(history, command)))
    return [(metrics["errors"]["localisation"], advice)]


def _doubtful_labels(metrics: Mapping[str, Any], command: Command) -> list[tuple[int, Advice]]:
    """Interpolated boxes that the detector contradicts, with their number."""
    checks = metrics["labels_to_check"]
    if len(checks) < _FEW_ERRORS:
        return []
    found = Advice(
        f"In {len(checks)} places a sure detection lies beside an interpolated box.",
        "Look at “Labels to check”: where the detection is right, add a key frame. Training has "
        "the same kind of boxes.",
        str(command),
    )
    return [(len(checks), found)]


def _memorised(history: Mapping[str, Any], command: Command) -> list[Advice]:
    """Whether the detector got worse while it trained on."""
    validations = [value["AP50"] for value in history.get("val", [])]
    if len(validations) < 2:
        return []
    best = max(range(len(validations)), key=validations.__getitem__)
    if best >= len(validations) // 2 or validations[best] - validations[-1] <= _RISING:
        return []
    return [
        Advice(
            "AP50 was best in the first half of the training and fell afterwards: the network "
            "learns the training frames by heart.",
            "Add videos that differ, rather than steps, and train again.",
            str(command),
        )
    ]


def _uncovered(metrics: Mapping[str, Any], command: Command) -> list[Advice]:
    """What the numbers do not cover: other places, and frames without objects."""
    advice = []
    if metrics["split"]["strategy"] == "time-block":
        advice.append(
            Advice(
                "The numbers measure this place only.",
                "Film and label more videos, in other places. With enough of them, whole videos "
                "are kept for evaluation, and the numbers hold for a new place.",
                str(command),
            )
        )
    if metrics["false_positives_per_background_image"] is None:
        if _unit(metrics) == "image":
            action = "Add images without objects, each with an annotation that has no box."
        else:
            action = (
                "Film the place without the objects, and add that video with an annotation file "
                "that has no box: all its frames then count as background."
            )
        finding = (
            f"Every evaluation {_unit(metrics)} has an object: false alarms could not be measured."
        )
        advice.append(Advice(finding, action, str(command)))
    return advice


def _larger_input(history: Mapping[str, Any], command: Command) -> Command:
    """The command with an input that is at least a quarter larger on each side."""
    size = history.get("parameters", {}).get("input_size")
    if not size:
        return command
    sides = [
        math.ceil(1.25 * int(side) / _INPUT_MULTIPLE) * _INPUT_MULTIPLE for side in size.split("x")
    ]
    return command.with_option("--input-size", "x".join(map(str, sides)))


def _unit(metrics: Mapping[str, Any]) -> str:
    """What was kept for evaluation, in the singular."""
    return "image" if metrics["split"]["strategy"] == "image" else "frame"


def _boxes(count: int) -> str:
    return "box" if count == 1 else "boxes"
