"""The releases of Kubeflow Pipelines and KServe that kfdet works with.

docs/kubernetes.md has them as a table, and a test compares the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Release = tuple[int, int]
"""Major and minor number: patch releases add nothing that a pipeline needs."""


@dataclass(frozen=True, slots=True)
class Product:
    """A product that kfdet runs on.

    Args:
        name: How a message names it.
        oldest: The oldest release that kfdet was made for.
        newest: The newest one.
    """

    name: str
    oldest: Release
    newest: Release

    def doubt(self, version: str) -> str:
        """Why it is uncertain that kfdet works with a version; "" if nothing speaks against it."""
        release = parse_release(version)
        made_for = (
            f"kfdet was made for {write_release(self.oldest)} to {write_release(self.newest)}"
        )
        if release is None:
            return f"{self.name} does not tell its version; {made_for}."
        if self.oldest <= release <= self.newest:
            return ""
        return f"{self.name} here is {version}; {made_for}."


PIPELINES = Product("Kubeflow Pipelines", (2, 15), (2, 17))
"""Part of Kubeflow 1.11 (2.15) and 26.03 (2.16), and the newest."""

FIRST_WITH_COLLECTED: Release = (2, 14)
"""The first Kubeflow Pipelines whose backend gathers the artifacts of a loop (dsl.Collected): its
CHANGELOG.md."""

KSERVE = Product("KServe", (0, 15), (0, 20))
"""Part of Kubeflow 1.11 (0.15) and 26.03 (0.16), and the newest."""


def parse_release(version: str) -> Release | None:
    """The release that a version, tag or image belongs to, such as v0.20.0, or None."""
    found = re.match(r"v?(\d+)\.(\d+)(?![0-9])", version)
    return (int(found[1]), int(found[2])) if found else None


def write_release(release: Release) -> str:
    """A release as people write it, such as 2.17."""
    return "{}.{}".format(*release)
