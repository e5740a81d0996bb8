"""`lightwork run`: an unmodified program with `lightwork.install()` in force."""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any, NoReturn, TypeVar

from ._install import install

T = TypeVar("T")


def run_path(path: str, args: list[str]) -> None:
    """Run a script (or a folder or zip file with a `__main__.py`) as `python path args` would.

    Raises what the script raises; SystemExit(2) if there is no such script.
    """
    # What Python shows in tracebacks, and in `__file__`; `sys.argv[0]` stays as it was given.
    full = os.path.abspath(path)
    if os.path.isdir(full) or path.endswith((".zip", ".pyz")):
        _begin([path, *args], full)
        _run_found("__main__", full)
        return
    try:
        with io.open_code(full) as f:
            source = f.read()
    except OSError as e:
        _refuse(f"cannot run {path!r}: {e.strerror}")
    _begin([path, *args], os.path.dirname(os.path.realpath(full)))
    main = _fresh_main(
        __file__=full, __cached__=None, __package__=None, __spec__=None, __loader__=SourceFileLoader("__main__", full)
    )
    _as_program(lambda: exec(compile(source, full, "exec", dont_inherit=True), main.__dict__))


def run_module(name: str, args: list[str]) -> None:
    """Run a module or package as `python -m name args` would. Raises like `run_path`."""
    _begin(["-m", *args], os.getcwd())
    _run_found(name)


def _run_found(name: str, where: str | None = None) -> None:
    spec, code = _as_program(lambda: _find(name, where))
    if where is None:
        sys.argv[0] = spec.origin or name
    main = _fresh_main(
        __file__=spec.origin, __cached__=spec.cached, __package__=spec.parent, __spec__=spec, __loader__=spec.loader
    )
    _as_program(lambda: exec(code, main.__dict__))


def _find(name: str, where: str | None) -> tuple[ModuleSpec, CodeType]:
    """A module, or the `__main__` of a package, anywhere or in one place. Raises what the package's import raises."""
    if where is not None:
        spec = PathFinder.find_spec(name, [where])
        if spec is None:
            _refuse(f"there is no __main__.py in {where!r}")
    else:
        spec, name = _find_anywhere(name)
    code = getattr(spec.loader, "get_code", lambda _: None)(name)
    if code is None:
        _refuse(f"module {name!r} has no Python code to run")
    return spec, code


def _find_anywhere(name: str) -> tuple[ModuleSpec, str]:
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            package, name = name, f"{name}.__main__"
            spec = importlib.util.find_spec(name)
            if spec is None:
                _refuse(f"{package!r} is a package without a __main__.py")
    except (ImportError, ValueError) as e:
        _refuse(f"cannot run module {name!r}: {e}")
    if spec is None:
        _refuse(f"there is no module {name!r} to run")
    return spec, name


def _begin(argv: list[str], first_path: str) -> None:
    install()
    if not sys.flags.safe_path:
        # Python put the folder of the `lightwork` script there (under -m the current one), in which the program would
        # not look.
        if sys.path and sys.path[0] in (os.path.dirname(os.path.realpath(sys.argv[0])), os.getcwd(), ""):
            del sys.path[0]
        sys.path.insert(0, first_path)
    sys.argv = argv


def _fresh_main(**attributes: Any) -> ModuleType:
    """A new `__main__`. It stays in place to the end, for threads and exit handlers of the program."""
    main = ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, **attributes)
    sys.modules["__main__"] = main
    sys.modules["__mp_main__"] = main  # its name in spawned children, and so in what they send
    return main


def _as_program(run: Callable[[], T]) -> T:
    """Call it; if it raises, Python's own handling follows (exit code, signal), but with the program's frames only."""
    try:
        return run()
    except SystemExit:
        raise
    except BaseException as e:
        hook, traceback = sys.excepthook, _without_ours(e.__traceback__)

        def shown(kind: type[BaseException], value: BaseException, _: TracebackType | None) -> None:
            hook(kind, value.with_traceback(traceback), traceback)

        sys.excepthook = shown
        raise


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame on that is neither in this file nor in the import system."""
    while traceback is not None and _is_ours(traceback.tb_frame.f_code.co_filename):
        traceback = traceback.tb_next
    return traceback


def _is_ours(filename: str) -> bool:
    return filename == __file__ or filename.startswith("<frozen importlib")


def _refuse(why: str) -> NoReturn:
    print(f"lightwork run: {why}", file=sys.stderr)
    raise SystemExit(2)
