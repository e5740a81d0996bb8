"""Run tests on a core that is built with AddressSanitizer, or ThreadSanitizer.

    python tests/sanitize.py                           # queues, locks, arrays, pools: some minutes
    python tests/sanitize.py tests/test_queues.py -x   # what is to be given to pytest instead

It watches the process's own memory (heap, stack, what the interpreter hands over), and not who owns which bytes of the
shared memory: that is for tests/kill, tests/models and tests/fuzz. Needs a nightly Rust toolchain with the sanitizer's
runtime, and gcc's libasan, which the interpreter loads first. Leaks are not looked for: an interpreter keeps much until
its end. (A read of freed memory that was put into `Queue.put` on purpose is found at the first call.)

    python tests/sanitize.py --threads                 # ThreadSanitizer on tests/races

That needs Rust's own sources, too (rustup component add rust-src): the standard library has to be built with it, or its
locks are taken for races. Debian's packages will do in place of the nightly: rustc, cargo, rust-src, clang.

Miri is not used: nearly all of the core is system calls and memory that processes share. tests/models looks for races
of the locks and the queue in all orders.

Exit code 0 if the tests passed and the sanitizer said nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import lightwork

ROOT = Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"
DEBIANS_SOURCES = Path("/usr/lib/rustlib/src/rust/library")
#: Tests that limit the address space cannot run: the sanitizer reserves terabytes of it.
TESTS = [
    *(f"tests/test_{name}.py" for name in ("queues", "lock", "condition", "sharedctypes", "buffers", "pool")),
    *("tests/fuzz", "-k", "not memory and not crosses_once"),
]


def main() -> int:
    if sys.argv[1:] == ["--threads"]:
        return under_threads()
    runtime = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    toolchains = subprocess.run(["rustup", "toolchain", "list"], capture_output=True, text=True).stdout
    if "nightly" not in toolchains or not Path(runtime).is_absolute():
        print("not run: needs a nightly Rust toolchain (rustup toolchain install nightly) and gcc's libasan")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "lightwork"
        shutil.copytree(Path(lightwork.__file__).parent, package, ignore=shutil.ignore_patterns("_native*.so"))
        shutil.copy(build(Path(folder)), package / "_native.abi3.so")
        log = Path(folder) / "asan"
        environment = os.environ | {
            "LD_PRELOAD": runtime,
            "ASAN_OPTIONS": f"detect_leaks=0:log_path={log}",
            "PYTHONMALLOC": "malloc",  # or the sanitizer sees the interpreter's large blocks only
            "PYTHONPATH": folder,
        }
        command = [sys.executable, "-m", "pytest", "-q", *(sys.argv[1:] or TESTS)]
        code = subprocess.run(command, env=environment, cwd=ROOT).returncode
        reports = [file.read_text() for file in Path(folder).glob("asan.*")]
    print(*reports, f"{len(reports)} reports of the sanitizer", sep="\n")
    return int(bool(code or reports))


def under_threads() -> int:
    """tests/races, instrumented together with the standard library."""
    command, flags = ["cargo", "+nightly"], "-Zsanitizer=thread"
    ask = ["rustup", "+nightly", "component", "list", "--installed"]
    if not shutil.which("rustup") or "rust-src" not in subprocess.run(ask, capture_output=True, text=True).stdout:
        if not DEBIANS_SOURCES.exists():
            print("not run: needs rust-src, of a nightly Rust toolchain or of Debian's rustc, cargo and clang")
            return 2
        command = ["/usr/bin/cargo"]
        flags += " -Zexternal-clangrt -Clinker=clang -Clink-arg=-fsanitize=thread"
    with tempfile.TemporaryDirectory() as folder:
        # Without random addresses, of which some kernels give more than the sanitizer knows of.
        command = ["setarch", "-R", *command, "test", "--release", "--tests", "-Zbuild-std", "--target", TARGET]
        environment = os.environ | {"RUSTC_BOOTSTRAP": "1", "RUSTFLAGS": flags, "CARGO_TARGET_DIR": folder}
        return subprocess.run(command, env=environment, cwd=ROOT / "tests" / "races").returncode


def build(folder: Path) -> Path:
    """The core with the sanitizer in it."""
    command = ["cargo", "+nightly", "build", "--release", "--lib", "--target", TARGET]
    command += ["--features", "pyo3/extension-module", "--target-dir", str(folder / "target")]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"RUSTFLAGS": "-Zsanitizer=address"}, check=True)
    return folder / "target" / TARGET / "release" / "lib_native.so"


if __name__ == "__main__":
    sys.exit(main())
