from __future__ import annotations

import pytest

from kfdet.evaluation.report.command import Command

TYPED = "kfdet run 'my videos' -o RUN --steps 20 --network spinenet49_mobile"


def test_round_trip():
    assert str(Command.parse(TYPED)) == TYPED


@pytest.mark.parametrize("text", ["", "kfdet evaluate run garage", "kfdet evaluate run"])
def test_what_does_not_train(text):
    assert str(Command.parse(text)) == "kfdet run DATASET -o RUN"


def test_options():
    command = Command.parse(TYPED)
    assert command.dataset == "'my videos'"
    assert command.option("--steps") == "20"
    assert command.option("--every") is None
    rest = "kfdet run 'my videos' -o RUN --network spinenet49_mobile"
    assert str(command.without("--steps")) == rest
    assert str(command.with_option("--steps", 40)) == f"{rest} --steps 40"
    assert command.without("--every") == command
