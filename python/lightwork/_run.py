"""`lightwork run`: an unmodified program with `lightwork.install()` in force."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import io
import os
import runpy
import sys
from types import CodeType, ModuleType
from typing import Any, NoReturn

from ._install import install


def run_path(path: str, args: list[str]) -> None:
    """Run a script (or a folder or zip file with a `__main__.py`) as `python path args` would.

    Raises SystemExit: with the script's own code, 1 for an exception that it did not catch (printed as usual), 2 if
    there is no such script.
    """
    if os.path.isdir(path) or path.endswith((".zip", ".pyz")):
        _begin([path, *args], path)
        _guarded(lambda: runpy.run_path(path, run_name="__main__"))
        return
    try:
        with io.open_code(os.path.abspath(path)) as f:
            source = f.read()
    except OSError as e:
        _refuse(f"cannot run {path!r}: {e.strerror}")
    _begin([path, *args], os.path.dirname(os.path.abspath(path)))
    main = _fresh_main(__file__=path, __cached__=None, __package__=None, __spec__=None)
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    _guarded(lambda: exec(compile(source, path, "exec", dont_inherit=True), main.__dict__))


def run_module(name: str, args: list[str]) -> None:
    """Run a module or package as `python -m name args` would. Raises SystemExit like `run_path`."""
    _begin(["-m", *args], os.getcwd())
    spec, code = _find(name)
    sys.argv[0] = spec.origin or name
    main = _fresh_main(
        __file__=spec.origin, __cached__=spec.cached, __package__=spec.parent, __spec__=spec, __loader__=spec.loader
    )
    _guarded(lambda: exec(code, main.__dict__))


def _find(name: str) -> tuple[importlib.machinery.ModuleSpec, CodeType]:
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            name = f"{name}.__main__"
            spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as e:
        _refuse(f"cannot run module {name!r}: {e}")
    if spec is None:
        _refuse(f"there is no module {name!r} to run")
    code = getattr(spec.loader, "get_code", lambda _: None)(name)
    if code is None:
        _refuse(f"module {name!r} has no Python code to run")
    return spec, code


def _begin(argv: list[str], first_path: str) -> None:
    install()
    sys.argv = argv
    if not sys.flags.safe_path:
        sys.path.insert(0, first_path)


def _fresh_main(**attributes: Any) -> ModuleType:
    """A new `__main__`. It stays in place to the end, for threads and exit handlers of the program."""
    main = ModuleType("__main__")
    main.__dict__.update(__builtins__=__builtins__, **attributes)
    sys.modules["__main__"] = main
    return main


def _guarded(run: Any) -> None:
    try:
        run()
    except Exception as e:
        tb = e.__traceback__
        while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
            tb = tb.tb_next  # the program's own traceback, without ours
        sys.excepthook(type(e), e.with_traceback(tb), tb)
        raise SystemExit(1) from None


def _refuse(why: str) -> NoReturn:
    print(f"lightwork run: {why}", file=sys.stderr)
    raise SystemExit(2)
