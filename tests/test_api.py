"""The public surface is that of the running Python's multiprocessing, name by name and signature by signature.

Ours may have further keyword-only parameters. Names of our own are pinned in ADDITIONS.
"""

import importlib
import inspect
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from types import ModuleType
from typing import Any

import pytest

import lightwork

ADDITIONS = {
    *("LightworkError", "Thread", "arena", "compare", "errors", "install", "ndarray", "process", "share"),
    "usable_cpus",
}
SUBMODULES = (
    *("connection", "context", "dummy", "dummy.connection", "forkserver", "heap", "managers", "pool", "popen_fork"),
    *("popen_forkserver", "popen_spawn_posix", "process", "queues", "reduction", "resource_sharer", "resource_tracker"),
    *("shared_memory", "sharedctypes", "spawn", "synchronize", "util"),
)
ABSENT = {
    "sharedctypes.prop_cache": "a cache of the standard library's own",
    "sharedctypes.template": "source text that the standard library's sharedctypes makes its properties from",
    "synchronize.RECURSIVE_MUTEX": "a kind of _multiprocessing.SemLock, which ours is not made of",
    "synchronize.SEMAPHORE": "a kind of _multiprocessing.SemLock, which ours is not made of",
    "synchronize.SemLock": "the base class around _multiprocessing.SemLock, which ours is not made of",
}
EXCEPTIONS = ("ProcessError", "BufferTooShort", "TimeoutError", "AuthenticationError")

# Classes whose methods are compared on the class; the constructor of each is compared too.
CLASSES = (
    "process.BaseProcess",
    "context.Process",
    "context.ForkProcess",
    "context.SpawnProcess",
    "context.ForkServerProcess",
    "context.BaseContext",
    "context.DefaultContext",
    "context.ForkContext",
    "context.SpawnContext",
    "context.ForkServerContext",
    "managers.BaseManager",
    "managers.SyncManager",
    "managers.SharedMemoryManager",
    "pool.Pool",
    "pool.ThreadPool",
    "pool.AsyncResult",
    "pool.MapResult",
    "pool.IMapIterator",
    "queues.Queue",
    "queues.SimpleQueue",
    "queues.JoinableQueue",
    "synchronize.Lock",
    "synchronize.RLock",
    "synchronize.Semaphore",
    "synchronize.BoundedSemaphore",
    "synchronize.Condition",
    "synchronize.Event",
    "synchronize.Barrier",
    "shared_memory.SharedMemory",
    "shared_memory.ShareableList",
)
# Made by the package itself, never by a user.
INTERNAL_CONSTRUCTORS = {"context.DefaultContext", "pool.AsyncResult", "pool.MapResult", "pool.IMapIterator"}

# Objects whose methods are compared on an instance: the standard library binds some of them in the constructor.
INSTANCES: dict[str, tuple[tuple[object, ...], str]] = {
    "Lock": ((), "acquire release"),
    "RLock": ((), "acquire release"),
    "Semaphore": ((), "acquire release get_value"),
    "BoundedSemaphore": ((), "acquire release get_value"),
    "Condition": ((), "acquire release wait wait_for notify notify_all"),
    "Event": ((), "is_set set clear wait"),
    "Barrier": ((2,), "wait reset abort"),
    "Queue": ((), "put get put_nowait get_nowait qsize empty full close join_thread cancel_join_thread"),
    "JoinableQueue": ((), "put get task_done join close join_thread"),
    "SimpleQueue": ((), "put get empty close"),
    "Value": (("i",), "get_lock get_obj acquire release"),
    "Array": (("i", 2), "get_lock get_obj acquire release"),
}


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> None:
    """Only looks at names, so there is nothing to look for after each of eight hundred of them."""


def look_up(package: ModuleType, path: str) -> Any:
    """`queues.Queue.put` of a package; AttributeError or ImportError if it is not there."""
    submodule = max((name for name in SUBMODULES if path.startswith(f"{name}.")), key=len)
    return attrgetter(path.removeprefix(f"{submodule}."))(importlib.import_module(f"{package.__name__}.{submodule}"))


def public_names(module: ModuleType) -> list[str]:
    """The names of `__all__`, and those that the module itself defines, constants among them."""
    defined = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and getattr(value, "__module__", module.__name__) == module.__name__
    ]
    return sorted({*defined, *getattr(module, "__all__", ())})


def in_submodules(wanted: Callable[[object], bool]) -> list[str]:
    found = []
    for submodule in SUBMODULES:
        module = importlib.import_module(f"multiprocessing.{submodule}")
        found += [f"{submodule}.{name}" for name in public_names(module) if wanted(getattr(module, name))]
    return found


def parameters(function: Callable[..., object]) -> list[tuple[str, str, str]]:
    """Name, kind and default of each parameter but `self`, which is positional-only in native methods.

    ValueError for a native function that does not tell its signature.
    """
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind.name, repr(p.default)) for p in found if p.name != "self"]


def assert_same_signature(ours: Callable[..., object], theirs: Callable[..., object]) -> None:
    try:
        expected = parameters(theirs)
    except ValueError:
        assert callable(ours)
        return
    got = parameters(ours)
    assert [p for p in got if p in expected or p[1] != "KEYWORD_ONLY"] == expected


def methods(path: str) -> list[str]:
    """The public methods of a class of the standard library, inherited ones too."""
    members = inspect.getmembers(look_up(multiprocessing, path), callable)
    return [f"{path}.{name}" for name, _ in members if not name.startswith("_")]


@pytest.mark.parametrize("name", multiprocessing.__all__)
def test_name(name: str) -> None:
    assert hasattr(lightwork, name)
    assert name in lightwork.__all__


def test_all_holds_nothing_but_theirs_and_our_additions() -> None:
    assert set(lightwork.__all__) - set(multiprocessing.__all__) == ADDITIONS
    assert len(lightwork.__all__) == len(set(lightwork.__all__))


@pytest.mark.parametrize("name", sorted(ADDITIONS))
def test_addition(name: str) -> None:
    assert hasattr(lightwork, name)


@pytest.mark.parametrize("name", SUBMODULES)
def test_submodule(name: str) -> None:
    module = importlib.import_module(f"lightwork.{name}")
    assert attrgetter(name)(lightwork) is module, "`from lightwork import ...` must give the same module"


@pytest.mark.parametrize("path", [path for path in in_submodules(lambda value: True) if path not in ABSENT])
def test_name_in_submodule(path: str) -> None:
    assert look_up(lightwork, path) is not None


@pytest.mark.parametrize("path", ABSENT)
def test_absent_from_submodule(path: str) -> None:
    with pytest.raises(AttributeError):
        look_up(lightwork, path)


@pytest.mark.parametrize("name", [n for n in multiprocessing.__all__ if n not in EXCEPTIONS and n != "reducer"])
def test_signature(name: str) -> None:
    assert_same_signature(getattr(lightwork, name), getattr(multiprocessing, name))


@pytest.mark.parametrize("path", [path for path in in_submodules(inspect.isfunction) if path not in ABSENT])
def test_signature_in_submodule(path: str) -> None:
    assert_same_signature(look_up(lightwork, path), look_up(multiprocessing, path))


@pytest.mark.parametrize("path", [path for path in CLASSES if path not in INTERNAL_CONSTRUCTORS])
def test_constructor(path: str) -> None:
    assert_same_signature(look_up(lightwork, path), look_up(multiprocessing, path))


@pytest.mark.parametrize("path", [method for path in CLASSES for method in methods(path)])
def test_method(path: str) -> None:
    assert_same_signature(look_up(lightwork, path), look_up(multiprocessing, path))


@contextmanager
def made(package: ModuleType, name: str) -> Iterator[Any]:
    instance = getattr(package, name)(*INSTANCES[name][0])
    try:
        yield instance
    finally:
        if hasattr(instance, "close"):
            instance.close()


@pytest.mark.parametrize(("name", "method"), [(name, m) for name, (_, ms) in INSTANCES.items() for m in ms.split()])
def test_method_of_instance(name: str, method: str) -> None:
    context = (package.get_context("spawn") for package in (lightwork, multiprocessing))
    with made(next(context), name) as ours, made(next(context), name) as theirs:
        assert_same_signature(getattr(ours, method), getattr(theirs, method))


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_their_handlers_catch_our_exceptions(name: str) -> None:
    assert issubclass(getattr(lightwork, name), getattr(multiprocessing, name))


def test_start_methods_and_their_default() -> None:
    assert lightwork.get_all_start_methods() == multiprocessing.get_all_start_methods()  # the first is the default


def test_submodules_are_attributes() -> None:
    """The stdlib's are once something has imported them, and programs rely on that."""
    for name in lightwork._MODULES:
        assert getattr(lightwork, name) is sys.modules[f"lightwork.{name}"]
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        lightwork.nothing  # noqa: B018 - it is the look that raises
