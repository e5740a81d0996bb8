"""Builds the temporary package in which CPython's tests talk about another package than `multiprocessing`.

The sources are read from the running interpreter's own `test` package; nothing of them is kept. Each NAME token
`multiprocessing`, and each use of it as a module's name inside a string (the programs that tests start, the targets of
`mock.patch`), becomes the package under test. Prose stays: messages such as "unclosed running multiprocessing pool"
are compared with by tests. A name that the package lacks is not filled in: the test that needs it fails.

What tests import from `concurrent.futures` comes from a module of the temporary package, which is the same but for the
package's own executor. A module inside `concurrent.futures` stays what it is.
"""

import ast
import importlib.util
import io
import re
import tokenize
from pathlib import Path

SUITE = "mpsuite"
SOURCE = "_test_multiprocessing.py"
EXECUTOR_SOURCES = "test_concurrent_futures"
SUITES = {"multiprocessing": SOURCE, "executor": f"{EXECUTOR_SOURCES}/util.py"}
"""What can be run, and the file that an interpreter must have for it. Older ones have the executor's tests in one
module, with classes of other names."""
METHODS = ("fork", "spawn", "forkserver")

_MODULE_IN_TEXT = re.compile(
    r"(?<![\w./])multiprocessing(?=\.\w)"  # multiprocessing.x
    r"|(?<=import )multiprocessing\b"
    r"|(?<=from )multiprocessing\b"
    r"|(?<=['\"])multiprocessing(?=['\".])"  # the whole string, or its beginning
)
_TEST_MODULE = re.compile(
    r"\btest(?=\.(?:_test_multiprocessing\b|test_multiprocessing_|mp_|test_concurrent_futures\b))"
    r"|\bconcurrent(?=\.futures import | import futures\b)"
)
_SUB_INTERPRETER = re.compile(r"from (?:test\._test_multiprocessing|concurrent\.futures) import")
_TEXT_TOKENS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def find_suite(suite: str) -> Path | None:
    """The folder that holds the interpreter's own tests; None if this build left them out."""
    spec = importlib.util.find_spec("test")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / SUITES[suite]).is_file():
            return Path(folder)
    return None


def build(folder: Path, work: Path, package: str, paths: list[str]) -> None:
    """Write the package `mpsuite` under `work`; `paths` are where `package` and `mpsuite` are found.

    Its modules `test_<suite>_<method>` have the classes to run.
    """
    suite = work / SUITE
    (suite / EXECUTOR_SOURCES).mkdir(parents=True)
    (suite / "__init__.py").write_text("")
    programs = sorted(folder.glob("mp_*.py"))
    executor_sources = sorted(folder.glob(f"{EXECUTOR_SOURCES}/*.py"))
    for source in [folder / SOURCE, *programs, *executor_sources]:
        text = rewrite(source.read_text(encoding="utf-8"), package, paths)
        if source in programs:  # started in isolated mode: it must find both packages
            text = f"{_extend_path(paths)}\n{text}"
        ast.parse(text, source.name)
        (suite / source.relative_to(folder)).write_text(text, encoding="utf-8")
    futures = "concurrent.futures" if package == "multiprocessing" else f"{package}.futures"
    (suite / "futures.py").write_text(
        "from concurrent.futures import *\n"
        "from concurrent.futures import process\n"
        f"from {futures} import ProcessPoolExecutor\n"
    )
    test_modules = [f"{SUITE}.{EXECUTOR_SOURCES}.{s.stem}" for s in executor_sources if s.stem.startswith("test_")]
    for method in METHODS:
        (suite / f"test_multiprocessing_{method}.py").write_text(
            f"from {SUITE}._test_multiprocessing import install_tests_in_module_dict\n"
            f"install_tests_in_module_dict(globals(), {method!r})\n"
        )
        (suite / f"test_executor_{method}.py").write_text(
            "from importlib import import_module\n"
            f"for module in map(import_module, {test_modules!r}):\n"
            "    for name, value in vars(module).items():\n"
            f"        if getattr(value, 'ctx', None) == {method!r}:\n"
            "            globals()[name] = value\n"
        )


def rewrite(source: str, package: str, paths: list[str]) -> str:
    """`source` with the module `multiprocessing` replaced by `package`, and `test` by the temporary package."""
    starts = [0]  # offset of each line
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    pieces: list[str] = []
    done = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        new = _replacement(token, package, paths)
        if new is not None:
            begin = starts[token.start[0] - 1] + token.start[1]
            pieces += source[done:begin], new
            done = starts[token.end[0] - 1] + token.end[1]
    return _TEST_MODULE.sub(SUITE, "".join(pieces) + source[done:])


def _replacement(token: tokenize.TokenInfo, package: str, paths: list[str]) -> str | None:
    if token.type == tokenize.NAME and token.string == "multiprocessing":
        return package
    if token.type not in _TEXT_TOKENS:
        return None
    if token.type == tokenize.STRING and _SUB_INTERPRETER.search(token.string):
        # that interpreter is isolated, so it has no PYTHONPATH; with -S no site-packages either
        program = _MODULE_IN_TEXT.sub(package, ast.literal_eval(token.string))
        return repr(f"{_extend_path(paths)}\n{program}")
    # FSTRING_MIDDLE holds "{{" as "{" while the source has both: only touch it where there is something to replace
    new = _MODULE_IN_TEXT.sub(package, token.string)
    return new if new != token.string else None


def _extend_path(paths: list[str]) -> str:
    return f"__import__('sys').path[:0] = {paths!r}"
