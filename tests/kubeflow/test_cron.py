from __future__ import annotations

import pytest

from kfdet.errors import InputError
from kfdet.kubeflow.cron import six_fields


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("  */15 8-18 * * mon-fri ", "0 */15 8-18 * * mon-fri"),
        ("0 3 1,15 JAN,jul *", "0 0 3 1,15 JAN,jul *"),
        ("30 0 3 * * ?", "30 0 3 * * ?"),
        ("0 3-23/4 * * 0", "0 0 3-23/4 * * 0"),
    ],
)
def test_five_fields_become_six(given: str, expected: str) -> None:
    assert six_fields(given) == expected


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("", "five fields"),
        ("0 3 * *", "five fields"),
        ("@daily", "five fields"),
        ("60 3 * * *", "the minute must be 0 to 59"),
        ("0 24 * * *", "the hour must be 0 to 23"),
        ("0 3 0 * *", "the day of the month must be 1 to 31"),
        ("0 3 * 13 *", "the month must be 1 to 12 or jan to dec"),
        ("0 3 * * 7", "the day of the week must be 0 to 6 or sun to sat.* 0 is Sunday"),
        ("0 3 * * fri-mon", "the day of the week"),
        ("0 3, * * *", "the hour"),
        ("0 */0 * * *", "the hour"),
        ("0 -3 * * *", "the hour"),
        ("٣ 3 * * *", "the minute"),
    ],
)
def test_what_is_no_time(given: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        six_fields(given)
