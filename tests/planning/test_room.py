from __future__ import annotations

from dataclasses import replace

from support.source_factory import image, video

from kfdet.parameters import SamplingSettings
from kfdet.planning.plan import Plan, Split
from kfdet.planning.room import disk_of_a_group

EVERY = SamplingSettings(every=10)
SPLIT = Split("video", 0.2, 3.0, 0)


def test_the_group_that_takes_most_decides() -> None:
    film = replace(video("film.mp4", train=((0, 599),)), file_bytes=900_000_000)
    short = replace(video("short.mp4", 60, train=((0, 59),)), file_bytes=1_000_000_000)
    photo = replace(image("photo.jpg"), file_bytes=3_000_000)
    sources = (film, photo, short)
    plan = Plan("toys", ("ball",), sources, SPLIT, (("film.mp4", "photo.jpg"), ("short.mp4",)))
    # each at half a byte a pixel: every tenth frame of 600, and a photo
    first = 900_000_000 + (60 * 640 * 360 + 400 * 300) // 2
    second = 1_000_000_000 + 6 * 640 * 360 // 2
    assert second > first
    assert disk_of_a_group(plan, EVERY, {}) == (1 << 30) + second
    together = replace(plan, groups=(tuple(source.name for source in sources),))
    shards = (66 * 640 * 360 + 400 * 300) // 2
    assert disk_of_a_group(together, EVERY, {}) == (1 << 30) + 1_000_000_000 + shards


def test_key_frames_and_crops_are_stored_whatever_the_rate() -> None:
    """A pod that takes more than it asked for is evicted, and its retries as well."""
    film = replace(video("film.mp4", train=((0, 599),)), negative_crops=5)
    plan = Plan("toys", ("ball",), (film,), SPLIT, (("film.mp4",),))
    taken = disk_of_a_group(plan, EVERY, {"film.mp4": range(600)})
    assert taken == (1 << 30) + 605 * 640 * 360 // 2
