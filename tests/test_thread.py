"""Thread: the constructor and `result()` of Process."""

from __future__ import annotations

import gc
import inspect
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lightwork as mp
from lightwork.errors import TaskTimeout


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What threads report on stderr, in a list."""
    reported: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))
    yield reported
    reported.clear()


def started(target: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> mp.Thread:
    t = mp.Thread(target=target, args=args, kwargs=kwargs)
    t.start()
    return t


def test_result_is_what_the_target_returned() -> None:
    t = started(divmod, 7, 2)
    assert t.result() == (3, 1) == t.result(timeout=0)
    assert started(dict, a=1).result(10) == {"a": 1}
    assert started().result() is None
    value = object()
    assert started(lambda: value).result() is value


def test_result_raises_what_the_target_raised(quiet: list[Any]) -> None:
    t = started(int, "no number")
    with pytest.raises(ValueError, match="no number") as first:
        t.result()
    with pytest.raises(ValueError) as second:
        t.result()
    assert first.value is second.value and quiet == [first.value]


def test_result_in_time_or_not() -> None:
    go = threading.Event()
    t = started(go.wait)
    with pytest.raises(TaskTimeout, match=r"'Thread-\d+ \(wait\)' has not ended within 0.01 s"):
        t.result(0.01)
    with pytest.raises(TimeoutError):
        t.result(timeout=0)
    go.set()
    assert t.result(10) is True


def test_any_number_is_a_timeout() -> None:
    go = threading.Event()
    t = started(go.wait)
    for timeout in (float("nan"), 0, -1):
        with pytest.raises(TaskTimeout, match="has not ended within"):
            t.result(timeout)
    go.set()
    assert t.result(float("inf")) is t.result(1e12) is True


def test_not_started_and_started_twice() -> None:
    t = mp.Thread(target=int)
    with pytest.raises(RuntimeError, match="before it is started"):
        t.result()
    t.start()
    t.join()
    with pytest.raises(RuntimeError, match="started once"):
        t.start()
    assert t.result() == 0


class Squares(mp.Thread):
    def __init__(self, n: int) -> None:
        super().__init__(name=f"square of {n}")
        self.n = n

    def run(self) -> int:  # type: ignore[override]
        return self.n**2


class Inherits(mp.Thread):
    def run(self) -> Any:
        return super().run() + 1


def test_a_subclass_may_override_run() -> None:
    t = Squares(5)
    t.start()
    assert t.result() == 25 and t.name == "square of 5"
    more = Inherits(target=lambda: 41)
    more.start()
    assert more.result() == 42


def test_it_is_a_thread_with_the_constructor_of_process() -> None:
    ours = inspect.signature(mp.Thread.__init__).parameters
    assert list(ours) == list(inspect.signature(mp.Process.__init__).parameters)
    go = threading.Event()
    t = mp.Thread(None, go.wait, "name", (), {}, daemon=True)
    assert isinstance(t, threading.Thread) and t.daemon and t.name == "name"
    t.start()
    assert t in threading.enumerate() and t.is_alive()
    go.set()
    t.join()
    assert not t.is_alive()


def test_it_forgets_its_arguments_when_it_is_done() -> None:
    class Big:
        pass

    big = Big()
    seen = weakref.ref(big)
    t = started(id, big)
    t.join()
    del big
    gc.collect()
    assert seen() is None


def test_arguments_may_come_from_an_iterator() -> None:
    t = mp.Thread(target=max, args=iter([3, 9, 4]))
    t.start()
    assert t.result() == 9


def test_threads_share_the_primitives() -> None:
    q, v, lock = mp.Queue(), mp.Value("i", 0), mp.Lock()

    def work(n: int) -> int:
        for _ in range(n):
            with lock:
                v.value += 1
        q.put(n)
        return n

    ts = [started(work, 250) for _ in range(4)]
    assert sum(t.result(10) for t in ts) == v.value == sum(q.get(timeout=5) for _ in ts) == 1000


class Busy(mp.Thread):
    """Has names of its own."""

    def _run(self) -> str:
        return "mine"

    def run(self) -> Any:  # type: ignore[override]
        self._value = self._error = self._record = 42
        return self._run()


def test_a_subclass_keeps_its_names() -> None:
    t = Busy()
    t.start()
    assert t.result(10) == "mine" and (t._value, t._error, t._record) == (42, 42, 42)


def test_run_may_be_set_until_the_start() -> None:
    t = mp.Thread(target=int)
    t.run = lambda: "another"  # type: ignore[method-assign]
    t.start()
    assert t.result(10) == "another"
    with pytest.raises(RuntimeError, match="started once"):
        t.start()
    assert t.result() == "another"
