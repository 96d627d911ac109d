from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import pytest
from support.patience import SECONDS, wait_until

from kfdet.serving.admission import Admission
from kfdet.serving.limits import Limits
from kfdet.serving.model import ServingError


@pytest.mark.parametrize(("large", "most"), [(False, 2 + 16), (True, 1 + 2)])
def test_more_than_may_wait_are_refused(large, most):
    admission = Admission(Limits(waiting=16), cores=2)
    with ExitStack() as inside:
        for _ in range(most):
            inside.enter_context(admission.request(large=large))
        with pytest.raises(ServingError, match=f"{most} .*requests run or wait") as caught:
            inside.enter_context(admission.request(large=large))
        assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        with admission.request(large=not large):
            pass
    with admission.request(large=large):
        pass


def test_a_large_request_leaves_room_for_small_ones():
    admission = Admission(Limits(), cores=2)
    done: list[str] = []

    def take(*, large: bool) -> None:
        with admission.turn(large=large, cost=1):
            done.append("large" if large else "small")

    with ThreadPoolExecutor() as pool:
        with admission.turn(large=True, cost=9):
            waiting = pool.submit(take, large=True)
            pool.submit(take, large=False).result(SECONDS)
            assert done == ["small"]
        waiting.result(SECONDS)
    assert done == ["small", "large"]


def test_the_smallest_is_next():
    admission = Admission(Limits(), cores=2)
    order: list[int] = []

    def take(cost: int) -> None:
        with admission.turn(large=False, cost=cost):
            order.append(cost)

    with admission.turn(large=False, cost=0):  # one processor is busy all the time
        with ThreadPoolExecutor(8) as pool, admission.turn(large=False, cost=0):
            for cost in (5, 3, 1, 4, 2):
                pool.submit(take, cost)
            wait_until(lambda: len(admission._waiting[False]) == 5)
        assert order == [1, 2, 3, 4, 5]
