from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.source_factory import image, video

from kfdet.errors import InputError
from kfdet.planning.plan import Source, Split
from kfdet.planning.ranges import contains
from kfdet.planning.sides import LARGEST_GUARD_SHARE, Sides, SplitInput
from kfdet.planning.split import split

LABELS = ("ball", "mug")


def video_input(
    source: Source,
    *,
    ball: Sequence[int] | None = None,
    mug: Sequence[int] = (),
    duplicate: int | None = None,
) -> SplitInput:
    """A source whose frames are all usable; `ball` (default: all) and `mug` are frames with one."""
    frames = np.arange(source.start, source.stop + 1, source.step)
    with_ball = frames if ball is None else np.array(ball, np.int64)
    boxes = np.column_stack([np.isin(frames, with_ball), np.isin(frames, np.array(mug, np.int64))])
    number = abs(hash(source.name)) if duplicate is None else duplicate
    return SplitInput(
        source,
        ((source.start, source.stop),),
        frames,
        np.arange(2),
        boxes.astype(np.int64),
        busy=boxes.any(axis=1),
        key_frames=frames[boxes.any(axis=1)],
        duplicate=number,
    )


def image_input(
    name: str, ball: bool = True, mug: bool = False, duplicate: int | None = None
) -> SplitInput:
    return video_input(
        image(name, train=()), ball=[0] if ball else [], mug=[0] if mug else [], duplicate=duplicate
    )


def deal(
    inputs: Sequence[SplitInput], val_share: float = 0.2, guard: float = 3.0, seed: int = 0
) -> tuple[Split, dict[str, Sides], list[str]]:
    return split(inputs, LABELS, val_share=val_share, guard_seconds=guard, seed=seed)


def share(inputs: Sequence[SplitInput], sides: dict[str, Sides]) -> float:
    """Share of the dealt frames that evaluate."""
    val = sum(contains(sides[m.source.name].val, m.frames).sum() for m in inputs)
    train = sum(contains(sides[m.source.name].train, m.frames).sum() for m in inputs)
    return float(val / (val + train))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "no frame with a box"),
        ([image_input("a.jpg")], "too small to be split: 1 usable frame in 1 source"),
        (
            [image_input("a.jpg", duplicate=1), image_input("b.jpg", duplicate=1)],
            "2 sources .*are alike",
        ),
        ([image_input("a.jpg"), image_input("b.jpg", ball=False)], "no boxes for evaluation"),
        ([video_input(video(frames=1))], "too small to be split: 1 usable frame"),
        ([video_input(video(frames=2))], "too small"),
        ([video_input(video(frames=100), ball=[4])], "no boxes for evaluation"),
    ],
    ids=[
        "nothing",
        "one image",
        "one image twice",
        "boxes on one image",
        "one annotated frame",
        "two annotated frames",
        "boxes on one frame",
    ],
)
def test_too_little_is_an_error_that_says_what_to_add(
    inputs: list[SplitInput], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        deal(inputs)
    assert "Add" in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "strategy", "val"),
    [
        ([video_input(video(frames=10))], "time-block", {"v.mp4": ((8, 9),)}),
        ([video_input(video(frames=600))], "time-block", {"v.mp4": ((480, 599),)}),
        (
            [video_input(video(frames=600), mug=range(100, 200))],
            "time-block",
            {"v.mp4": ((190, 309),)},
        ),
        ([video_input(video("a.mp4")), video_input(video("b.mp4"))], "time-block", None),
        (
            [video_input(video("a.mp4")), video_input(video("b.mp4", 200))],
            "video",
            {"b.mp4": ((0, 199),)},
        ),
        ([video_input(video("a.mp4", 2)), video_input(video("b.mp4", 2))], "video", None),
        ([video_input(video(f"{i}.mp4")) for i in range(5)], "video", None),
        (
            [video_input(video(f"{i}.mp4"), mug=range(i // 3 * 600)) for i in range(5)],
            "video",
            None,
        ),
        (
            [
                video_input(video("a.mp4")),
                video_input(video("b.mp4", 300), ball=[], mug=range(300)),
            ],
            "time-block",
            {"a.mp4": ((480, 599),), "b.mp4": ((240, 299),)},
        ),
        ([image_input("a.jpg"), image_input("b.jpg")], "image", None),
        ([video_input(video(frames=600)), image_input("a.jpg")], "time-block", {"a.jpg": ()}),
    ],
    ids=[
        "ten frames",
        "one video",
        "a label only in the middle",
        "two videos of one length",
        "a short video",
        "two videos too short to be cut",
        "five videos",
        "five videos, two of them with another label",
        "a label a video",
        "two images",
        "a video and an image",
    ],
)
def test_strategy(inputs: list[SplitInput], strategy: str, val: dict[str, object] | None) -> None:
    how, sides, _ = deal(inputs)
    assert (how.strategy, how.val_share, how.guard_seconds, how.seed) == (strategy, 0.2, 3.0, 0)
    assert (how.gap_seconds is None) == (strategy != "time-block")
    for name, ranges in (val or {}).items():
        assert sides[name].val == ranges
    for label in range(2):
        for side in ("train", "val"):
            boxes = sum(
                m.boxes[contains(getattr(sides[m.source.name], side), m.frames), label].sum()
                for m in inputs
            )
            assert bool(boxes) == any(m.boxes[:, label].any() for m in inputs)


def test_five_videos_give_one_to_evaluation_by_seed() -> None:
    inputs = [video_input(video(f"{i}.mp4")) for i in range(5)]
    chosen = set()
    for seed in range(10):
        _, sides, _ = deal(inputs, seed=seed)
        assert deal(inputs[::-1], seed=seed)[1] == sides
        assert share(inputs, sides) == pytest.approx(0.2)
        chosen |= {name for name, side in sides.items() if side.val}
    assert len(chosen) > 1


def test_many_images_keep_labels_on_both_sides() -> None:
    inputs = [image_input(f"{i}.jpg", mug=i in (3, 57), ball=i % 7 > 0) for i in range(300)]
    for seed in range(5):
        _, sides, warnings = deal(inputs, seed=seed)
        assert not warnings
        assert {bool(sides[name].val) for name in ("3.jpg", "57.jpg")} == {True, False}
        assert share(inputs, sides) == pytest.approx(0.2, abs=0.02)


def test_a_label_in_one_place_trains_and_is_named() -> None:
    inputs = [image_input(f"{i}.jpg", mug=i == 7) for i in range(40)]
    _, sides, warnings = deal(inputs)
    assert sides["7.jpg"].train
    assert len(warnings) == 1
    assert "label 'mug' cannot be evaluated" in warnings[0]


def empty_video(name: str, frames: int = 600) -> SplitInput:
    return video_input(video(name, frames, background=True), ball=[])


@pytest.mark.parametrize("labelled", [1, 2, 5])
@pytest.mark.parametrize("empty", [1, 2, 3])
def test_background_videos_are_on_both_sides_and_move_no_other_frame(
    labelled: int, empty: int
) -> None:
    inputs = [video_input(video(f"{i}.mp4")) for i in range(labelled)]
    more = [empty_video(f"empty-{i}.mp4") for i in range(empty)]
    how, before, _ = deal(inputs)
    how_with, sides, _ = deal([*inputs, *more])
    assert how_with.strategy == how.strategy
    assert {name: sides[name] for name in before} == before
    for side in ("train", "val"):
        assert any(getattr(sides[m.source.name], side) for m in more)
    whole = how.strategy == "video" and empty > 1
    for m in more:
        assert (not sides[m.source.name].train or not sides[m.source.name].val) == whole


def test_a_background_video_beside_images_is_cut_with_a_gap() -> None:
    how, sides, _ = deal([image_input("a.jpg"), image_input("b.jpg"), empty_video("empty.mp4")])
    assert (how.strategy, how.gap_seconds) == ("image", 3.0)
    assert (sides["empty.mp4"].train, sides["empty.mp4"].val) == (((0, 449),), ((480, 599),))


def test_background_alone_cannot_be_split() -> None:
    with pytest.raises(InputError, match="no boxes for training"):
        deal([empty_video("empty.mp4")])


def test_short_videos_have_a_shorter_gap_and_say_so() -> None:
    how, sides, warnings = deal([video_input(video(frames=100))])
    assert how.gap_seconds == 1.0
    assert (sides["v.mp4"].train, sides["v.mp4"].val) == (((0, 69),), ((80, 99),))
    assert warnings[0] == (
        "the gap between training and evaluation is shorter than 3 s in short videos: "
        "v.mp4 (1.0 s)."
    )


def test_the_same_video_twice_is_cut_at_the_same_place() -> None:
    again = video_input(video("b.mp4", start=100), mug=range(400, 500), duplicate=1)
    how, sides, _ = deal([video_input(video("a.mp4"), duplicate=1), again])
    assert how.strategy == "time-block"
    assert sides["a.mp4"].val == sides["b.mp4"].val


def test_images_of_one_film_are_cut_as_a_film() -> None:
    inputs = [image_input(f"frame_{i}.jpg", duplicate=1) for i in range(100)]
    _, sides, warnings = deal(inputs)
    side = ["train" if s.train else "val" if s.val else "-" for s in map(sides.get, names(100))]
    assert side == ["train"] * 70 + ["-"] * 10 + ["val"] * 20
    assert "100 images" in warnings[0]


def only_shown(one: SplitInput) -> SplitInput:
    """The same without counts of labels that it does not show."""
    shown = np.flatnonzero(one.boxes.any(axis=0))
    return dataclasses.replace(one, labels=one.labels[shown], boxes=one.boxes[:, shown])


def names(count: int) -> list[str]:
    return [f"frame_{i}.jpg" for i in range(count)]


@st.composite
def datasets(draw: st.DrawFn) -> list[SplitInput]:
    """Videos and images of all lengths, some of them duplicates, with boxes anywhere."""
    inputs = []
    for number in range(draw(st.integers(0, 4))):
        duplicate = draw(st.integers(0, 3))
        source = video(
            f"{number}.mp4",
            draw(st.integers(1, 300)),
            fps=(1.0, 10.0, 29.97, 60.0)[duplicate],
            step=draw(st.sampled_from([1, 2, 5])),
        )
        some = st.lists(st.integers(0, source.stop), max_size=20)
        ball = draw(st.none() | some)
        inputs.append(video_input(source, ball=ball, mug=draw(some), duplicate=duplicate))
    for number in range(draw(st.integers(0, 30))):
        ball, mug, duplicate = draw(st.tuples(st.booleans(), st.booleans(), st.integers(10, 30)))
        inputs.append(image_input(f"{number}.jpg", ball, mug, duplicate))
    return inputs


@settings(deadline=None, max_examples=60)
@given(
    inputs=datasets(),
    val_share=st.floats(0.05, 0.9),
    guard=st.floats(0, 5),
    seed=st.integers(0, 3),
)
def test_nothing_leaks(inputs: list[SplitInput], val_share: float, guard: float, seed: int) -> None:
    try:
        _, sides, _ = deal(inputs, val_share, guard, seed)
    except InputError:
        return
    assert deal(inputs[::-1], val_share, guard, seed)[1] == sides
    assert deal([only_shown(m) for m in inputs], val_share, guard, seed)[1] == sides
    assert any(side.train for side in sides.values())
    assert any(side.val for side in sides.values())
    for m in inputs:
        side = sides[m.source.name]
        train = m.frames[contains(side.train, m.frames)]
        val = m.frames[contains(side.val, m.frames)]
        if m.source.kind == "video" and len(train) and len(val):
            between = np.abs(train[:, None] - val[None]).min() - 1
            alike = [o.frames for o in inputs if o.duplicate == m.duplicate]
            span = np.ptp(np.concatenate(alike)) + 1
            assert between >= min(guard * m.source.fps, LARGEST_GUARD_SHARE * span)
            assert between >= 1
        else:
            assert not (len(train) and len(val))
        for other in inputs:
            if other.duplicate == m.duplicate and len(train):
                twin = other.frames[contains(sides[other.source.name].val, other.frames)]
                image_film = len([o for o in inputs if o.duplicate == m.duplicate]) >= 10
                assert not set(twin) & set(train) or (m.source.kind == "image" and image_film)


# --- the dataset's own sides ---


def own(name: str, side: str, **more) -> SplitInput:
    return dataclasses.replace(image_input(name, **more), side=side)


def test_own_sides_are_kept() -> None:
    inputs = [own("a", "train"), own("b", "val"), own("c", "test"), own("d", "")]
    how, sides, _ = deal(inputs)
    assert how.strategy == "own"
    assert sides == {
        "a": Sides(train=((0, 0),)),
        "b": Sides(val=((0, 0),)),
        "c": Sides(test=((0, 0),)),
        "d": Sides(train=((0, 0),)),
    }


def test_one_picture_is_never_on_two_sides() -> None:
    inputs = [
        *(own(name, "train", duplicate=1) for name in "abcd"),
        own("e", "val", duplicate=1),
        own("f", "test", duplicate=1),
        own("g", "train"),
        own("h", "val"),
    ]
    _, sides, warnings = deal(inputs)
    assert {name for name, side in sides.items() if side != Sides()} == {"f", "g", "h"}
    assert (
        "left out of the training side, because the test side shows the same: a, b, c and 1 more."
        in warnings
    )
    assert any(
        "out of the validation side, because the test side" in warning for warning in warnings
    )


def test_with_a_test_side_only_the_rest_is_split() -> None:
    inputs = [own(f"{i}", "") for i in range(10)] + [own("t", "test")]
    how, sides, _ = deal(inputs)
    assert how.strategy == "image"
    assert sides.pop("t") == Sides(test=((0, 0),))
    assert sum(bool(side.val) for side in sides.values()) == 2


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        (("val", "test", "val"), "the training side has no box"),
        (("train", "test", "train"), "the validation side has no box"),
        (("train", "val", "train"), "the test side has no box"),
        (("test", "test", "test"), "the training side has no box"),
    ],
)
def test_an_empty_side(sides: tuple[str, ...], message: str) -> None:
    empty = {"val", "test", "train"} - set(sides)
    inputs = [own(f"{i}", side) for i, side in enumerate(sides)]
    inputs += [own(side, side, ball=False) for side in empty]
    with pytest.raises(InputError, match=message) as caught:
        deal(inputs)
    assert "--no-own-sides" in caught.value.hint


def test_a_label_without_a_box_on_the_test_side() -> None:
    inputs = [own(name, side, mug=mug) for name, side, mug in _WITH_MUGS]
    _, _, warnings = deal(inputs)
    assert warnings == [
        "label 'mug' has no box on the test side: the result says nothing about it."
    ]


_WITH_MUGS = (("a", "train", True), ("b", "val", True), ("c", "test", False))
