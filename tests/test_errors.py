"""The exception tree."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import pickle
from concurrent.futures.process import BrokenProcessPool

import pytest

from lightwork import errors

TREE: dict[type[BaseException], tuple[type[BaseException], ...]] = {
    errors.WorkerDied: (errors.LightworkError, BrokenProcessPool),
    errors.PoolBroken: (errors.LightworkError, BrokenProcessPool),
    errors.TaskTimeout: (errors.LightworkError, TimeoutError, multiprocessing.TimeoutError),
    errors.TaskCancelled: (errors.LightworkError, concurrent.futures.CancelledError),
    errors.OwnerDied: (errors.LightworkError, RuntimeError),
    errors.ForeignHandle: (errors.LightworkError, RuntimeError),
    errors.ArenaFull: (errors.LightworkError, MemoryError),
    errors.Unshippable: (errors.LightworkError, pickle.PicklingError),
    errors.OwnerDiedWarning: (RuntimeWarning,),
    errors.RemoteTraceback: (Exception,),
    errors.LightworkError: (Exception,),
}


def test_all_is_pinned() -> None:
    assert sorted(errors.__all__) == sorted(cls.__name__ for cls in TREE)
    defined = {n for n, x in vars(errors).items() if isinstance(x, type) and x.__module__ == errors.__name__}
    assert defined == set(errors.__all__)


@pytest.mark.parametrize("cls", TREE, ids=lambda c: c.__name__)
def test_each_is_what_the_stdlib_raises_there(cls: type[BaseException]) -> None:
    assert cls.__bases__ == TREE[cls]
    assert (cls.__doc__ or "").strip() and cls.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("cls", TREE, ids=lambda c: c.__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_each_can_be_pickled(cls: type[BaseException], protocol: int) -> None:
    back = pickle.loads(pickle.dumps(cls("what happened"), protocol))
    assert type(back) is cls and back.args == ("what happened",)
    assert "what happened" in str(back)


def test_worker_died_keeps_pid_and_exit_code() -> None:
    back = pickle.loads(pickle.dumps(errors.WorkerDied("it was killed", pid=12, exitcode=-9)))
    assert (str(back), back.pid, back.exitcode) == ("it was killed", 12, -9)
    assert (errors.WorkerDied().pid, errors.WorkerDied().exitcode) == (None, None)


def test_formatted_shows_the_whole_chain() -> None:
    def fails() -> None:
        try:
            raise KeyError("first")
        except KeyError as e:
            raise ValueError("second") from e

    with pytest.raises(ValueError, match="second") as caught:
        fails()
    text = errors.formatted(caught.value)
    assert "KeyError: 'first'" in text and "in fails" in text and text.endswith("ValueError: second\n")
    assert text in str(errors.RemoteTraceback(text))
