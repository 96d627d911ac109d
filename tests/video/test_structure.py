"""Videos that are damaged in the middle: no frame is lost without a word."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import pytest
from support.numbered_video import KINDS, number_of, remux

from kfdet import events
from kfdet.errors import InputError
from kfdet.video.extraction import extract
from kfdet.video.probe import probe

Numbered = Callable[[str], Path]
CONTAINERS = (
    *("mp4, B-frames", "mov, open GOP", "mp4, fragments", "mkv, open GOP"),
    *("webm, VP9", "webm, alternate references", "avi, MPEG-4", "avi, Motion JPEG"),
    *("mts, B-frames", "ts, MPEG-2 with B-frames", "avi, H.264", "mov, HEVC with open GOP"),
)


def damaged(source: Path, target: Path, at: float, share: float, zeros: bool) -> Path:
    data = bytearray(source.read_bytes())
    place, length = int(len(data) * at), int(len(data) * share)
    filling = bytes(length) if zeros else random.Random(place).randbytes(length)
    data[place : place + length] = filling[: len(data) - place]
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize(("at", "share"), [(0.3, 0.05), (0.5, 0.2), (0.4, 0.5)])
@pytest.mark.parametrize("name", CONTAINERS)
def test_lost_frames_are_reported(
    numbered: Numbered, tmp_path: Path, name: str, at: float, share: float, zeros: bool
) -> None:
    path = damaged(numbered(name), tmp_path / f"x{KINDS[name].suffix}", at, share, zeros)
    try:
        info = probe(path)
    except InputError:
        return
    warnings: list[str] = []
    with events.listening(lambda event: warnings.append(event.get("message", ""))):
        left = sum(1 for _ in extract(path))

    if left < KINDS[name].frames:
        assert "cut off or damaged" in info.damage
        assert any(info.damage in warning for warning in warnings)


def test_places_of_lost_frames(numbered: Numbered, tmp_path: Path) -> None:
    info = probe(damaged(numbered("webm, VP9"), tmp_path / "x.webm", 0.5, 0.2, True))

    assert info.frames + sum(loss.count for loss in info.losses) == pytest.approx(60, abs=2)
    assert f"{info.frames} of about " in info.damage
    assert "lost: about " in info.damage


def test_frames_that_do_not_decode_keep_their_numbers(numbered: Numbered, tmp_path: Path) -> None:
    path = damaged(numbered("mov, open GOP"), tmp_path / "x.mov", 0.4, 0.2, True)
    info = probe(path)
    found = {frame.frame: number_of(frame.jpeg) for frame in extract(path)}
    lost = [n for loss in info.losses for n in range(loss.frame, loss.frame + loss.count)]

    assert info.frames == 60
    assert lost
    assert not found.keys() & set(lost)
    assert f"{60 - len(lost)} of 60 frames decode" in info.damage
    sound = [
        frame for frame in found if not lost[0] <= frame <= lost[-1] + 20
    ]  # the next key frame
    assert [found[frame] for frame in sound] == sound


@pytest.mark.parametrize("name", CONTAINERS)
def test_any_byte_may_be_wrong(numbered: Numbered, tmp_path: Path, name: str) -> None:
    data = numbered(name).read_bytes()
    path = tmp_path / f"x{KINDS[name].suffix}"
    rng = random.Random(name)
    for _ in range(25):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 20))):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        said: list[dict[str, Any]] = []
        with suppress(InputError), events.listening(said.append):
            left = sum(1 for _ in extract(path))
            assert left == KINDS[name].frames or any(each["event"] == "warning" for each in said)


def test_a_block_that_damage_gave_another_name(numbered: Numbered, tmp_path: Path) -> None:
    with av.open(str(numbered("webm, VP9"))) as container:
        place = [packet.pos for packet in container.demux(video=0)][30]
    data = bytearray(numbered("webm, VP9").read_bytes())
    # SimpleBlock and its length, then what a packet holds; named the size of the cluster before
    data[data.rindex(b"\xa3", place - 4, place)] = 0xAB
    path = tmp_path / "x.webm"
    path.write_bytes(data)
    info = probe(path)
    assert info.frames < 60
    assert "lost: about " in info.damage


@pytest.mark.parametrize("live", [False, True])
def test_recording_of_unknown_length_is_whole(
    numbered: Numbered, tmp_path: Path, live: bool
) -> None:
    options = {"live": "1"} if live else {"cluster_time_limit": "100"}
    path = remux(numbered("webm, VP9"), tmp_path / "x.webm", options=options)

    assert probe(path).damage == ""
