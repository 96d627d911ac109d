"""Notification: how a run has ended, to a webhook."""

from kfp import dsl

from kfdet.components.component import component
from kfdet.components.image import IMAGE


@component(IMAGE)
def notification(
    status: dsl.PipelineTaskFinalStatus,
    run: str,
    name: str,
    dataset: str,
    endpoint: str,
) -> None:
    """Tell a webhook how the run has ended; whether that works changes nothing for the run.

    Args:
        status: How the run's other stages have ended.
        run: The run's ID.
        name: The run's name.
        dataset: Its dataset.
        endpoint: Its endpoint.
    """
    from kfdet.stages.notification import notify

    notify(status.state, status.error_message or "", run, name, dataset, endpoint)
