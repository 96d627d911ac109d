from __future__ import annotations

import pytest
from support.source_factory import image, video

from kfdet.planning.groups import make_groups
from kfdet.planning.plan import Source

HOUR = 108_000  # frames


@pytest.mark.parametrize(
    ("sources", "most", "groups"),
    [
        ([video("a.mp4", train=((0, 599),))], 8, [["a.mp4"]]),
        ([image(f"{i}.jpg") for i in range(9)], 8, [[f"{i}.jpg" for i in range(9)]]),
        (
            [video(f"{c}.mp4", 9000, train=((0, 8999),)) for c in "dacb"],
            8,
            [["a.mp4"], ["b.mp4"], ["c.mp4"], ["d.mp4"]],
        ),
        (
            [video(f"{c}.mp4", 9000, train=((0, 8999),)) for c in "dacb"],
            2,
            [["a.mp4", "b.mp4"], ["c.mp4", "d.mp4"]],
        ),
        (
            [
                video("a.mp4", 30000, val=((0, 29999),)),
                *(video(f"{c}.mp4", 10000, train=((0, 9999),)) for c in "bcd"),
            ],
            2,
            [["a.mp4"], ["b.mp4", "c.mp4", "d.mp4"]],
        ),
        ([video("a.mp4", 90000, train=((50, 59),))], 8, [["a.mp4"]]),
    ],
    ids=["one", "small images", "by name", "at most two", "balanced", "only what is used"],
)
def test_make_groups(sources: list[Source], most: int, groups: list[list[str]]) -> None:
    assert [list(group) for group in make_groups(sources, most)] == groups


@pytest.mark.parametrize(
    ("videos", "groups"), [(8, 8), (20, 8), (36, 9), (200, 50), (256, 64), (3000, 64)]
)
def test_more_groups_for_more_work(videos: int, groups: int) -> None:
    """An hour of 640x360 is 25 billion pixels."""
    sources = [video(f"{i:04}.mp4", HOUR, train=((0, HOUR - 1),)) for i in range(videos)]
    made = make_groups(sources)
    assert len(made) == groups
    assert [name for group in made for name in group] == [source.name for source in sources]
    sizes = [len(group) for group in made]
    assert max(sizes) <= min(sizes) + 1
