"""Fingerprint stage: identifies what a run reads from outside, so that a change repeats its stages.

It is the first stage and takes seconds. It also checks every parameter, because no command has
checked those of a run that was started in the UI, on a schedule or with Kubeflow's SDK.
"""

from __future__ import annotations

import json
from pathlib import Path

from kfdet.cluster.connection import connect, connect_to_deploy
from kfdet.cluster.parameters import CheckedSettings
from kfdet.deployment.endpoint import check_name
from kfdet.deployment.gate import find_rival
from kfdet.deployment.starting import with_located_start
from kfdet.errors import InputError
from kfdet.events import timestamp
from kfdet.files import atomic_file
from kfdet.parameters import ENDPOINT_START, Parameters, TrainingSettings
from kfdet.storage.address import is_bucket_uri
from kfdet.storage.download import is_there
from kfdet.storage.fingerprint import fingerprint
from kfdet.storage.listing import no_objects
from kfdet.training.starting_point import check_start


def take_fingerprint(
    dataset: str,
    state: Path,
    parameters: Parameters,
    cluster: CheckedSettings,
    accelerator_count: str,
) -> tuple[str, str, str, str]:
    """Check the parameters, and take the fingerprint of a dataset without downloading it.

    Args:
        dataset: The dataset's folder or bucket URI.
        state: JSON file to write, with `dataset` and `fingerprint`: from outside of the run, files
            can be read, but not the outputs of its tasks.
        parameters: All parameters.
        cluster: What only a cluster has.
        accelerator_count: How many GPUs training requests, as text.

    Returns:
        The fingerprint, the bucket URI of the model to compare with ("" where there is none), the
        time as `kfdet.events.timestamp` gives it, and how many GPUs evaluation requests, as text:
        one where training has any, as a model runs on one.

    Raises:
        InputError: A parameter is out of its limits, there is no dataset, the store cannot be read,
            the endpoint is somebody else's, or its model is gone from the bucket.
    """
    started = timestamp()
    _check(parameters, cluster, accelerator_count)
    found = fingerprint(dataset)
    with atomic_file(state) as path:
        path.write_text(json.dumps({"dataset": dataset, "fingerprint": found}) + "\n")
    rival = ""
    if cluster.endpoint and parameters.promote != "always":
        rival = find_rival(connect_to_deploy(cluster.serving_namespace), cluster.endpoint)
    return found, rival, started, str(min(1, int(accelerator_count)))


def _check(parameters: Parameters, cluster: CheckedSettings, accelerator_count: str) -> None:
    parameters.check()
    cluster.check()
    if not accelerator_count.isdecimal():
        raise InputError(f"accelerator_count must be a whole number, got {accelerator_count!r}.")
    if cluster.endpoint:
        check_name(cluster.endpoint)
    if parameters.promote != "always" and not (parameters.against or cluster.endpoint):
        raise InputError(
            f"promote is {parameters.promote}, but there is nothing to compare with.",
            hint="Name an endpoint, or a model with against.",
        )
    if is_bucket_uri(parameters.against) and not is_there(parameters.against):
        raise no_objects(parameters.against)
    settings = parameters.part(TrainingSettings)
    if settings.pretrained.startswith(ENDPOINT_START):
        if connect().inside:
            raise InputError(
                "cannot be looked up by the pod of the training.",
                file=settings.pretrained,
                hint="Give the path of its weights: minio://BUCKET/models/NAME/bundles/VERSION.zip.",
            )
        settings = with_located_start(settings, cluster.serving_namespace)
    check_start(settings, here=False)
    if settings.overrides.strip() or settings.input_size:
        from kfdet.training.run import check_experiment  # takes seconds to import

        check_experiment(settings)
