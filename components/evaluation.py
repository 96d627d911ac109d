"""Evaluation: COCO metrics of the exported model, the report and the verdict."""

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE


@component(IMAGE)
def evaluation(
    records: dsl.Input[dsl.Dataset],
    saved_model: dsl.Input[dsl.Model],
    training: dsl.Input[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
    gallery: dsl.Output[dsl.Artifact],
    min_ap50: float,
    min_recall: float,
    max_false_positives: float,
) -> bool:
    """Measure the exported model on the validation split: what is served is what is measured.

    Args:
        records: The TFRecords.
        saved_model: The exported SavedModel.
        training: The trained model, for the history of the training.
        metrics: metrics.json: AP, AP50, per class, split, false positives, verdict.
        confusion: The confusion matrix, background included.
        report: One self-contained HTML page.
        gallery: Drawn detections and the worst errors as pictures and a video.
        min_ap50: AP50 that the exported model must reach for a good verdict.
        min_recall: Share of the objects that it must find at its threshold; 0: not checked.
        max_false_positives: False detections a frame without objects that it may make; 0: not
            checked.

    Returns:
        The verdict: true when the model is good enough to be served.
    """
    import json

    from kfdet.stages.evaluation import evaluate

    verdict = evaluate(
        records.path,
        saved_model.path,
        training.path,
        metrics.path,
        report.path,
        gallery.path,
        min_ap50=min_ap50,
        min_recall=min_recall,
        max_false_positives=max_false_positives,
    )
    with open(metrics.path) as file:
        values = json.load(file)
    for name, value in values.items():
        if isinstance(value, float):
            metrics.log_metric(name, value)
    matrix = values["confusion_matrix"]
    confusion.log_confusion_matrix(matrix["labels"], matrix["matrix"])
    with open(confusion.path, "w") as file:
        json.dump(matrix, file)
    return verdict
