from __future__ import annotations

import re
from datetime import UTC, datetime

from kfdet.evaluation.report.page import Origin
from kfdet.evaluation.report.sweep import render_sweep
from kfdet.evaluation.trials import Trial

ORIGIN = Origin("toys", "kfdet sweep toys -o sweep", datetime(2026, 1, 2, tzinfo=UTC), "0.1.0")
TRIALS = [
    Trial({"network": "<b>", "steps": 20}, 0.9, 0.5, 12.0, 8.0, 1.5),
    Trial({"network": "small", "steps": 40}, 0.8, 0.4, 6.0, 4.0, 0.5, -0.1, (-0.2, 0.01)),
]
REASON = "Setting 1 has the highest AP50."


def test_each_setting_is_a_row_and_a_point_in_each_chart() -> None:
    html = render_sweep(TRIALS, REASON, "a processor, 2 cores", ORIGIN)
    assert html.count("<svg") == html.count("</svg>") == 3
    assert html.count("<circle") == 6
    rows = re.findall(r"<tr>.*?</tr>", html)
    assert [re.findall(r"<td>(.*?)</td>", row) for row in rows[1:]] == [
        ["&lt;b&gt;", "20", "0.900", "0.500", "", "12.0", "8.0", "1.5"],
        ["small", "40", "0.800", "0.400", "-0.100 (-0.200 to +0.010)", "6.0", "4.0", "0.5"],
    ]
    assert "kfdet sweep toys -o sweep" in html
    assert "a processor, 2 cores" in html
    assert REASON in html
    assert not re.search(r"(src|href)=\"?http", html)


def test_nothing_was_learned_by_any() -> None:
    flat = [Trial({"steps": n}, 0.0, 0.0, 0.0, 0.0, 0.0) for n in range(1, 13)]
    assert render_sweep(flat, REASON, "m", ORIGIN).count("<circle") == 36
