"""`lightwork run`: programs meet what `python` would give them, and real ones work."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
LIGHTWORK = ("-m", "lightwork", "run")


def both(run: Run, *args: object, code: int = 0) -> tuple[str, str]:
    """The output of a program, which has to be the same under `lightwork run` as under `python`."""
    plain, ours = run(*args, code=code), run(*LIGHTWORK, *args, code=code)
    assert (ours.stdout, ours.stderr) == (plain.stdout, plain.stderr)
    return ours.stdout, ours.stderr


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(module) is None, reason=f"{module} is not installed")


# -- what a program finds about itself


SELF = """
    import sys
    print(__name__, __file__, __package__, getattr(__spec__, "name", None), type(__loader__).__name__, __doc__)
    print(sys.argv, sys.path[0], sys.modules["__main__"].__dict__ is globals(), __builtins__.__name__)
"""


def test_script(run: Run, program: Callable[[str], Path]) -> None:
    both(run, program(dedent(SELF)), "-m", "--help", "--", "x")


def test_script_behind_a_link(run: Run, program: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    link = tmp_path / "bin" / "link.py"
    link.symlink_to(program(dedent(SELF)))
    out, _ = both(run, link)
    assert f" {tmp_path} " in out  # the folder of the script itself comes first in the path


def test_relative_path_of_a_script(run: Run, program: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(dedent(SELF))
    monkeypatch.chdir(path.parent)
    out, _ = both(run, path.name)
    assert out.startswith(f"__main__ {path} ")


def test_folder_and_zip(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("app").mkdir()
    Path("app", "__main__.py").write_text("import other\n" + dedent(SELF))
    Path("app", "other.py").touch()
    with zipfile.ZipFile("app.zip", "w") as z:
        for name in ("__main__.py", "other.py"):
            z.write(f"app/{name}", name)
    both(run, "app", "arg")
    both(run, "app.zip", "arg")


def test_module_and_package(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("single.py").write_text(dedent(SELF))
    Path("package", "sub").mkdir(parents=True)
    Path("package", "__init__.py").touch()
    Path("package", "__main__.py").write_text("from .other import x\n" + dedent(SELF))
    Path("package", "other.py").write_text("x = 1\n")
    for name in ("single", "package", "package.other"):
        both(run, "-m", name, "-m", "--help")


def test_nothing_of_the_launchers_path_is_seen(run: Run, program: Callable[[str], Path], tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "stray.py").touch()
    path = program("import importlib.util as u; print(u.find_spec('stray'))")
    done = subprocess.run([sys.executable, *LIGHTWORK, path], cwd=here, capture_output=True, text=True, timeout=60)
    assert done.stdout == "None\n", done.stderr


def test_under_the_console_script(program: Callable[[str], Path]) -> None:
    command = Path(sys.executable).with_name("lightwork")
    if not command.exists():
        pytest.skip("the lightwork command is not beside this interpreter")
    path = program(dedent(SELF) + "import multiprocessing\nprint(multiprocessing.Lock().__module__)\n")
    done = subprocess.run([command, "run", path, "x"], capture_output=True, text=True, timeout=60)
    assert f"['{path}', 'x'] {path.parent} True builtins\nlightwork.synchronize\n" in done.stdout, done.stderr


# -- how it ends


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("import sys; sys.exit(7)", 7),
        ("import sys; sys.exit('said')", 1),
        ("import sys; sys.exit()", 0),
        ("def f():\n    raise ValueError('boom')\nf()", 1),
        ("raise ExceptionGroup('two', [ValueError(1), KeyError(2)])", 1),
        ("def f(:\n", 1),
        ("raise KeyboardInterrupt", -2),
        ("import os; os._exit(3)", 3),
        ("import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[2].tb_frame.f_code.co_name)\n1/0", 1),
        ("import atexit\natexit.register(lambda: print('bye', __name__, x))\nx = 1\n1/0", 1),
        ("import threading, time\ndef f(): time.sleep(.2); print(x)\nthreading.Thread(target=f).start()\nx = 2", 0),
        ("import click\nraise click.UsageError('theirs')", 1),
    ],
)
def test_end(run: Run, program: Callable[[str], Path], source: str, code: int) -> None:
    both(run, program(source), code=code)


def test_failure_in_a_package_shows_its_own_frames_only(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("package").mkdir()
    Path("package", "__init__.py").write_text("1/0\n")
    done = run(*LIGHTWORK, "-m", "package", code=1)
    assert done.stderr.count("File ") == 1 and done.stderr.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("missing.py",), "cannot run 'missing.py': No such file or directory"),
        (("empty",), "there is no __main__.py in"),
        (("-m", "missing"), "there is no module 'missing' to run"),
        (("-m", "missing.sub"), "cannot run module 'missing.sub': No module named 'missing'"),
        (("-m", "json"), "'json' is a package without a __main__.py"),
        (("-m", "sys"), "module 'sys' has no Python code to run"),
    ],
)
def test_what_cannot_be_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    done = run(*LIGHTWORK, *args, code=2)
    assert says in done.stderr and "Traceback" not in done.stderr


# -- processes


def test_relative_imports_in_children(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("package").mkdir()
    Path("package", "__init__.py").touch()
    Path("package", "work.py").write_text("def double(x): return 2 * x\n")
    Path("package", "__main__.py").write_text(
        dedent(f"""
        import multiprocessing
        from .work import double
        if __name__ == "__main__":
            multiprocessing.set_start_method({method!r})
            with multiprocessing.Pool(2) as pool:
                print(pool.map(double, range(3)), type(pool).__module__)
        """)
    )
    assert run(*LIGHTWORK, "-m", "package").stdout == "[0, 2, 4] lightwork.pool\n"


def test_functions_and_classes_of_the_script_are_found_in_children(
    run: Run, program: Callable[[str], Path], method: str
) -> None:
    path = program(
        dedent(f"""
        import sys
        from multiprocessing import Process, Queue, set_start_method

        class Point:
            def __init__(self, x): self.x = x

        class Worker(Process):
            def __init__(self, queue):
                super().__init__()
                self.queue = queue
            def run(self): self.queue.put((Point(3), __name__, sys.argv[1:], type(self.queue).__module__))

        if __name__ == "__main__":
            set_start_method({method!r})
            queue = Queue()
            worker = Worker(queue)
            worker.start()
            point, name, *rest = queue.get(timeout=30)
            worker.join()
            print(type(point) is Point, name, *rest)
        """)
    )
    main = "__main__" if method == "fork" else "__mp_main__"
    assert run(*LIGHTWORK, path, "a").stdout == f"True {main} ['a'] lightwork.queues\n"


def test_a_script_without_the_main_guard_is_told(run: Run, program: Callable[[str], Path]) -> None:
    path = program(
        "from multiprocessing import get_context\n"
        "p = get_context('spawn').Process(target=print)\np.start()\np.join()\nprint(p.exitcode)\n"
    )
    done = run(*LIGHTWORK, path)
    assert done.stdout == "1\n"
    assert "An attempt has been made to start a new process before the" in done.stderr


# -- real programs


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with six files that linters have to say something about."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for i in range(6):
        (folder / f"m{i}.py").write_text(f"import sys\nimport os\n\n\ndef f( x ):\n    return x + undefined_{i}\n")
    monkeypatch.chdir(folder)
    return folder


LINTERS = [
    pytest.param(name, args, code, marks=needs(name))
    for name, args, code in (
        ("flake8", ("--jobs=2",), 1),
        ("pylint", ("--jobs=2", "--score=n"), 22),
        ("isort", ("--jobs=2", "--check-only"), 1),
    )
]


@pytest.mark.parametrize(("name", "args", "code"), LINTERS)
def test_linter(run: Run, sources: Path, name: str, args: tuple[str, ...], code: int) -> None:
    files = sorted(os.listdir(sources))
    expected = run("-m", name, *args, *files, code=code)

    def words(done: subprocess.CompletedProcess[str]) -> list[str]:
        # Their processes print in any order, and isort's into each other's lines.
        return sorted((done.stdout + done.stderr).replace("ERROR", " ERROR").split())

    assert words(run(*LIGHTWORK, "-m", name, *args, *files, code=code)) == words(expected) != []
    command = Path(sys.executable).with_name(name)
    if command.exists():
        assert words(run(*LIGHTWORK, command, *args, *files, code=code)) == words(expected)


@needs("joblib")
def test_joblib(run: Run, program: Callable[[str], Path]) -> None:
    path = program(
        dedent("""
        import multiprocessing
        from joblib import Parallel, delayed

        def square(x): return x * x
        def fail(x): raise ValueError("from a worker")

        if __name__ == "__main__":
            for backend in ("loky", "multiprocessing", "threading"):
                print(backend, Parallel(n_jobs=2, backend=backend)(delayed(square)(i) for i in range(6)))
                try:
                    Parallel(n_jobs=2, backend=backend)(delayed(fail)(i) for i in range(2))
                except ValueError as e:
                    print(e)
            print(type(multiprocessing.Queue()).__module__)
        """)
    )
    lines = [f"{b} [0, 1, 4, 9, 16, 25]\nfrom a worker\n" for b in ("loky", "multiprocessing", "threading")]
    assert run(*LIGHTWORK, path).stdout == "".join(lines) + "lightwork.queues\n"


@needs("emcee")
def test_emcee(run: Run, program: Callable[[str], Path], method: str) -> None:
    path = program(
        dedent(f"""
        import multiprocessing
        import emcee
        import numpy as np

        def log_probability(theta): return -0.5 * np.sum(theta**2)

        if __name__ == "__main__":
            multiprocessing.set_start_method({method!r})
            with multiprocessing.Pool(2) as pool:
                start = np.random.default_rng(1).normal(size=(8, 2))
                sampler = emcee.EnsembleSampler(8, 2, log_probability, pool=pool)
                sampler.run_mcmc(start, 20)
            print(sampler.get_chain().shape, type(pool).__module__)
        """)
    )
    assert run(*LIGHTWORK, path).stdout == "(20, 8, 2) lightwork.pool\n"


@needs("torch")
def test_torch_dataloader(run: Run, program: Callable[[str], Path], method: str) -> None:
    path = program(
        dedent(f"""
        import multiprocessing
        import torch
        from torch.utils.data import DataLoader, Dataset

        class Numbers(Dataset):
            def __len__(self): return 8
            def __getitem__(self, i): return torch.full((1000,), float(i))

        if __name__ == "__main__":
            loader = DataLoader(Numbers(), batch_size=2, num_workers=2, multiprocessing_context={method!r})
            for epoch in range(2):
                print([float(batch.mean()) for batch in loader], type(multiprocessing.Queue()).__module__)
        """)
    )
    assert run(*LIGHTWORK, path, seconds=110).stdout == 2 * "[0.5, 2.5, 4.5, 6.5] lightwork.queues\n"
