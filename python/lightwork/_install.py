"""`lightwork.install()`: make `multiprocessing` answer with lightwork.

The stdlib's modules stay the objects they are, so every form of import sees lightwork, before or after, in the program
or in a library. Two things change:

- A submodule shows our names to whoever imports from it (the stdlib's own functions included, which import inside
  their bodies), while the code in it goes on with its own. So a class that was derived before from one of the stdlib's,
  or that needs the stdlib's layout (see `queues`), is whole.
- The stdlib's default context, whose methods others may have bound long ago (`from multiprocessing import Queue`), has
  no choice of its own any more: its start method is ours, and so are the contexts it gives out.

Forked children inherit this; others are told by their `launch.Passport` before their main module runs.
"""

from __future__ import annotations

import importlib
import multiprocessing
import multiprocessing.context as _stdlib
from types import FunctionType, ModuleType
from typing import Any

#: What is ours in each submodule. `process` stays as it is: who derives from its BaseProcess launches by itself.
_NAMES = {
    "context": (
        "BaseContext DefaultContext Process ForkProcess SpawnProcess ForkServerProcess ForkContext SpawnContext "
        "ForkServerContext _default_context"
    ),
    "queues": "Queue JoinableQueue SimpleQueue",
    "synchronize": "Lock RLock Semaphore BoundedSemaphore Condition Event Barrier",
    "sharedctypes": (
        "RawValue RawArray Value Array copy synchronized reduce_ctype rebuild_ctype make_property SynchronizedBase "
        "Synchronized SynchronizedArray SynchronizedString"
    ),
    "pool": "Pool ThreadPool AsyncResult ApplyResult MapResult IMapIterator IMapUnorderedIterator MaybeEncodingError",
    "managers": "SyncManager SharedMemoryManager",
    "shared_memory": "SharedMemory ShareableList",
}

_installed = False


def installed() -> bool:
    """Is it in force in this process?"""
    return _installed


def install() -> None:
    """Make every use of `multiprocessing` and its submodules in this process and its children use lightwork.

    Call it first of all, or run the program with `lightwork run`: objects that exist already (locks, queues) stay the
    stdlib's, and of those Value and Array can then only be inherited by forked children. Calling it again does nothing.
    """
    global _installed
    if _installed:
        return
    _installed = True
    ours: Any = importlib.import_module(__package__)
    found = {}
    for sub, names in _NAMES.items():
        source = importlib.import_module(f"{__package__}.{sub}")
        found[sub] = {name: getattr(source, name) for name in names.split()}
    # Not before all of ours are imported: they import the stdlib's.
    for sub, shown in found.items():
        _show(importlib.import_module(f"multiprocessing.{sub}"), shown)
    _take_over_contexts()
    for name in multiprocessing.__all__:
        if name not in ("reducer", "process"):
            setattr(multiprocessing, name, getattr(ours, name))


def _show(module: ModuleType, shown: dict[str, Any]) -> None:
    """Let importers see `shown` in a module; its own code, which does not ask by attribute, does not."""
    own = vars(module)
    for name in shown:
        hidden = own[name]
        if isinstance(hidden, type | FunctionType):
            # Pickle goes by name: what was made before is still found, here and in children.
            hidden.__qualname__ = f"_stdlib_{name}"
            own[hidden.__qualname__] = hidden
    patched: dict[str, Any] = {}

    class Shown(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            if name in shown:
                return patched.get(name, shown[name])
            return super().__getattribute__(name)

        def __setattr__(self, name: str, value: object) -> None:
            if name not in shown:
                super().__setattr__(name, value)
            elif value is own[name]:
                patched.pop(name, None)  # `mock.patch` puts back what it found in the module's dictionary
            else:
                patched[name] = value

    module.__class__ = Shown


class _Echo(_stdlib.DefaultContext):
    """What the stdlib's default context becomes: one that chooses what ours chooses."""

    # A data descriptor: it goes before the entry in the instance's own dictionary.
    @property
    def _actual_context(self) -> Any:
        from . import context

        method = context._default_context.get_start_method(allow_none=True)
        return None if method is None else context.get_context(method)

    @_actual_context.setter
    def _actual_context(self, chosen: Any) -> None:
        from . import context

        context.set_start_method(None if chosen is None else chosen._name, force=True)


def _take_over_contexts() -> None:
    """Contexts, and process classes, that somebody has already: they start children through us."""
    from . import context

    theirs: Any = vars(_stdlib)  # not by attribute: that shows ours now
    for kind in ("Fork", "Spawn", "ForkServer"):
        ours = getattr(context, f"{kind}Process")
        theirs[f"{kind}Process"]._Popen = staticmethod(ours._Popen)
        theirs[f"{kind}Context"].Process = ours
    # One table from now on: libraries (loky) register contexts of their own in the stdlib's.
    context._contexts.update({k: v for k, v in theirs["_concrete_contexts"].items() if k not in context._contexts})
    theirs["_concrete_contexts"] = context._contexts
    default = theirs["_default_context"]
    chosen = default._actual_context
    default.__class__ = _Echo
    if chosen is not None and context._default_context.get_start_method(allow_none=True) is None:
        default._actual_context = chosen  # a start method that the program chose before stays chosen
