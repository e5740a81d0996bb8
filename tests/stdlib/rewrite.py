"""Builds the temporary package in which CPython's tests talk about another package than `multiprocessing`.

The sources are read from the running interpreter's own `test` package; nothing of them is kept. Each NAME token
`multiprocessing`, and each use of it as a module's name inside a string (the programs that tests start, the targets of
`mock.patch`), becomes the package under test. Prose stays: messages such as "unclosed running multiprocessing pool"
are compared with by tests. A name that the package lacks is not filled in: the test that needs it fails.
"""

import ast
import importlib.util
import io
import re
import tokenize
from pathlib import Path

SUITE = "mpsuite"
SOURCE = "_test_multiprocessing.py"
METHODS = ("fork", "spawn", "forkserver")

_MODULE_IN_TEXT = re.compile(
    r"(?<![\w./])multiprocessing(?=\.\w)"  # multiprocessing.x
    r"|(?<=import )multiprocessing\b"
    r"|(?<=from )multiprocessing\b"
    r"|(?<=['\"])multiprocessing(?=['\".])"  # the whole string, or its beginning
)
_TEST_MODULE = re.compile(r"\btest\.(?=_test_multiprocessing\b|test_multiprocessing_|mp_)")
_SUB_INTERPRETER = "from test._test_multiprocessing import"
_TEXT_TOKENS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def find_suite() -> Path | None:
    """The folder that holds the interpreter's own `_test_multiprocessing.py`; None if this build left it out."""
    spec = importlib.util.find_spec("test")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / SOURCE).is_file():
            return Path(folder)
    return None


def build(folder: Path, work: Path, package: str, paths: list[str]) -> None:
    """Write the package `mpsuite` under `work`; `paths` are where `package` and `mpsuite` are found."""
    suite = work / SUITE
    suite.mkdir()
    (suite / "__init__.py").write_text("")
    for source in [folder / SOURCE, *sorted(folder.glob("mp_*.py"))]:
        text = rewrite(source.read_text(encoding="utf-8"), package, paths)
        if source.name != SOURCE:  # a program of its own, started in isolated mode: it must find both packages
            text = f"{_extend_path(paths)}\n{text}"
        ast.parse(text, source.name)
        (suite / source.name).write_text(text, encoding="utf-8")
    for method in METHODS:
        (suite / f"test_multiprocessing_{method}.py").write_text(
            f"from {SUITE}._test_multiprocessing import install_tests_in_module_dict\n"
            f"install_tests_in_module_dict(globals(), {method!r})\n"
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
    return _TEST_MODULE.sub(f"{SUITE}.", "".join(pieces) + source[done:])


def _replacement(token: tokenize.TokenInfo, package: str, paths: list[str]) -> str | None:
    if token.type == tokenize.NAME and token.string == "multiprocessing":
        return package
    if token.type not in _TEXT_TOKENS:
        return None
    if token.type == tokenize.STRING and _SUB_INTERPRETER in token.string:
        # that interpreter runs with -E and -S, so it has neither PYTHONPATH nor site-packages
        return repr(f"{_extend_path(paths)}; {ast.literal_eval(token.string)}")
    # FSTRING_MIDDLE holds "{{" as "{" while the source has both: only touch it where there is something to replace
    new = _MODULE_IN_TEXT.sub(package, token.string)
    return new if new != token.string else None


def _extend_path(paths: list[str]) -> str:
    return f"__import__('sys').path[:0] = {paths!r}"
