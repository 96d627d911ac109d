"""What would stop the comparison of a run with another model, before the run begins."""

from __future__ import annotations

from kfdet.dataset.loading import load
from kfdet.dataset.several import part_names, split_datasets
from kfdet.detection.detector import read_labels
from kfdet.errors import InputError
from kfdet.evaluation.comparison import common_labels
from kfdet.parameters import DatasetSettings, Parameters
from kfdet.storage.address import is_bucket_uri
from kfdet.storage.copies import local_dataset, local_model


def check_comparison(dataset: str, parameters: Parameters) -> None:
    """Refuse a model to compare with that is missing, or knows none of the dataset's labels.

    Labels of a dataset in a bucket, and those of an endpoint, are not known so early.

    Args:
        dataset: The dataset's folder or bucket URI, or several.
        parameters: Those of the run.

    Raises:
        InputError: With what to do instead.
    """
    if not parameters.against:
        if parameters.promote != "always":
            raise InputError(
                f"--promote {parameters.promote} has nothing to compare with.",
                hint="Name a run or a model with --against.",
            )
        return
    with local_model(parameters.against) as model:
        known = read_labels(model)
    if known is None or any(map(is_bucket_uri, split_datasets(dataset))):
        return
    with local_dataset(dataset) as folder:
        data = load(folder, parameters.part(DatasetSettings), part_names(split_datasets(dataset)))
    common_labels(data.labels, known, parameters.against)
