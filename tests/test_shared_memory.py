"""Named shared memory: who destroys a block, what a list gives back, and that it is the stdlib's for everybody else.

What a resource tracker complains of it prints after its programs have ended, to their stderr: hence the programs here.
"""

from __future__ import annotations

import multiprocessing.shared_memory as stdlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from textwrap import dedent
from typing import Any
from unittest.mock import patch

import pytest

import lightwork.shared_memory
from lightwork.managers import SharedMemoryManager
from lightwork.shared_memory import ShareableList, SharedMemory

Run = Callable[..., subprocess.CompletedProcess[str]]
Write = Callable[[str], Path]

HAS_TRACK = sys.version_info >= (3, 13)
#: What the stdlib stores wrongly: items that end in NUL, and text that is longer in bytes than in characters.
WRONG: list[Any] = [
    *(b"\0", "\0", b"a\0", "a\0", b"\xff\0", "\xe9\0", b"1234567\0", "1234567\0", b"12345678\0", b"\0" * 100),
    *("0\U00010000\U00010000", "\xe9" * 7, "\U00010000" * 100, "\u4e2d" * 8 + "\0\0"),
]
RIGHT: list[Any] = [
    *(0, -1, 1.5, True, None, b"", "", b"a", "a", b"\xff", "a\0b", b"12345678", "12345678", "\xe9", "\xe9" * 4),
    *("\u4e2d" * 2, "\U00010000" * 2),
]


@pytest.fixture
def block() -> Iterator[SharedMemory]:
    memory = SharedMemory(create=True, size=64)
    yield memory
    memory.close()
    try:
        memory.unlink()
    except FileNotFoundError:
        # Another program did, and this one's tracker has not heard of it.
        resource_tracker.unregister(memory._name, "shared_memory")


@pytest.fixture
def made() -> Iterator[Callable[..., Any]]:
    """Makes lists, ours or the stdlib's, that are destroyed after the test."""
    lists = []

    def make(cls: Any, items: list[Any]) -> Any:
        lists.append(cls(items))
        return lists[-1]

    yield make
    for each in lists:
        each.shm.close()
        each.shm.unlink()


def exists(name: str) -> bool:
    return Path("/dev/shm", name).exists()


# -- blocks


def test_a_program_that_attaches_leaves_the_block(block: SharedMemory, run: Run, program: Write, method: str) -> None:
    text = f"""
    import sys
    import lightwork as mp
    from lightwork.shared_memory import SharedMemory

    def attach(name):
        memory = SharedMemory(name)
        memory.buf[0] += 1
        memory.close()

    if __name__ == "__main__":
        process = mp.get_context({method!r}).Process(target=attach, args=sys.argv[1:])
        process.start()
        process.result()
    """
    assert run(program(dedent(text)), block.name).stderr == ""
    assert exists(block.name)
    assert block.buf is not None and block.buf[0] == 1


def test_a_program_that_attaches_to_a_list_leaves_the_block(
    made: Callable[..., Any], run: Run, program: Write, method: str
) -> None:
    text = f"""
    import sys
    import lightwork as mp
    from lightwork.shared_memory import ShareableList

    def last(name):
        shared = ShareableList(name=name)
        shared[0] = "\\u4e2d\\0"
        return shared[-1]

    if __name__ == "__main__":
        process = mp.get_context({method!r}).Process(target=last, args=sys.argv[1:])
        process.start()
        print(process.result())
    """
    shared = made(ShareableList, ["1234", "b\0"])
    done = run(program(dedent(text)), shared.shm.name)
    assert (done.stdout, done.stderr) == ("b\0\n", "")
    assert exists(shared.shm.name)
    assert [*shared] == ["\u4e2d\0", "b\0"]


def test_a_program_that_only_attached_may_destroy_the_block(
    block: SharedMemory, run: Run, program: Write, method: str
) -> None:
    text = f"""
    import sys
    import lightwork as mp
    from lightwork.shared_memory import SharedMemory

    def destroy(memory):
        memory.close()
        memory.unlink()

    if __name__ == "__main__":
        process = mp.get_context({method!r}).Process(target=destroy, args=(SharedMemory(sys.argv[1]),))
        process.start()
        process.result()
    """
    assert run(program(dedent(text)), block.name).stderr == ""
    assert not exists(block.name)


def test_any_process_of_a_family_may_destroy_it(run: Run, program: Write, method: str) -> None:
    text = f"""
    import lightwork as mp
    from lightwork.shared_memory import SharedMemory

    def attach(memory, destroys, barrier):
        again = SharedMemory(memory.name)
        memory.close()
        barrier.wait()
        if destroys:
            again.unlink()
        again.close()

    def create():
        return SharedMemory(create=True, size=8)

    if __name__ == "__main__":
        ctx = mp.get_context({method!r})
        barrier = ctx.Barrier(3)
        memory = create()
        processes = [ctx.Process(target=attach, args=(memory, i == 1, barrier)) for i in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.result()
        try:
            memory.unlink()
        except FileNotFoundError:
            print("destroyed")

        maker = ctx.Process(target=create)  # the child creates, the parent destroys
        maker.start()
        maker.result().unlink()
    """
    done = run(program(dedent(text)))
    assert (done.stdout, done.stderr) == ("destroyed\n", "")


def test_a_block_that_nobody_destroys_ends_with_the_family_that_created_it(
    run: Run, program: Write, method: str
) -> None:
    text = f"""
    import lightwork as mp
    from lightwork.shared_memory import SharedMemory

    def attach(name):
        SharedMemory(name).close()

    if __name__ == "__main__":
        name = SharedMemory(create=True, size=8).name
        process = mp.get_context({method!r}).Process(target=attach, args=(name,))
        process.start()
        process.result()
        attach(name)
        print(name)
    """
    done = run(program(dedent(text)))
    assert not exists(done.stdout.strip())
    assert "1 leaked shared_memory object" in done.stderr


def test_attaching_without_the_memory_for_it_leaves_the_block(block: SharedMemory, run: Run, program: Write) -> None:
    text = """
    import sys
    from unittest.mock import patch
    from lightwork.shared_memory import SharedMemory
    with patch("mmap.mmap", side_effect=OSError(12, "Cannot allocate memory")):
        try:
            SharedMemory(sys.argv[1])
        except OSError as error:
            print(error.strerror)
    """
    done = run(program(dedent(text)), block.name)
    assert (done.stdout, done.stderr) == ("Cannot allocate memory\n", "")
    assert exists(block.name)


def test_attaching_twice_in_the_process_that_created_it(block: SharedMemory) -> None:
    again = pickle.loads(pickle.dumps(block))
    assert type(again) is SharedMemory and again.name == block.name and again.size == block.size
    again.buf[0] = 7
    again.close()
    assert block.buf is not None and block.buf[0] == 7


@pytest.mark.parametrize("arguments", [{"name": None}, {"name": "absent", "size": -1}])
def test_bad_arguments_are_the_stdlibs_errors(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as theirs:
        stdlib.SharedMemory(**arguments)
    with pytest.raises(ValueError) as ours:
        SharedMemory(**arguments)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.skipif(HAS_TRACK, reason="this Python has track=")
@pytest.mark.parametrize("arguments", [{"create": True, "size": 8}, {"name": "absent"}])
def test_track_is_unknown_before_python_3_13(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="track"):
        SharedMemory(**arguments, track=False)


@pytest.mark.skipif(not HAS_TRACK, reason="this Python has no track=")
def test_track_is_what_it_is_in_the_stdlib(run: Run, program: Write) -> None:
    text = """
    import sys
    from lightwork.shared_memory import SharedMemory
    name, track = sys.argv[1:]
    print(SharedMemory(name or None, create=not name, size=8, track=track == "True").name)
    """
    path = program(dedent(text))
    done = run(path, "", False)
    name = done.stdout.strip()
    assert exists(name) and done.stderr == ""
    assert run(path, name, False).stderr == "" and exists(name)
    assert "1 leaked shared_memory object" in run(path, name, True).stderr
    assert not exists(name)


# -- lists


@pytest.mark.parametrize("item", WRONG, ids=ascii)
def test_what_the_stdlib_stores_wrongly_comes_back(item: Any, made: Callable[..., Any]) -> None:
    shared = made(ShareableList, [1, item, "end"])
    assert [*shared] == [1, item, "end"]
    assert [*pickle.loads(pickle.dumps(shared))] == [1, item, "end"]
    replaced = made(ShareableList, [1, b"-" * len(str(item).encode()) * 4, "end"])
    replaced[-2] = item
    assert [*replaced] == [1, item, "end"]
    replaced[1] = "other"
    assert [*replaced] == [1, "other", "end"]


@pytest.mark.parametrize("item", WRONG, ids=ascii)
def test_the_stdlib_does_store_it_wrongly(item: Any, made: Callable[..., Any]) -> None:
    try:
        assert made(stdlib.ShareableList, [item])[0] != item
    except UnicodeDecodeError:
        pass  # cut within a character


def test_what_the_stdlib_stores_rightly_is_stored_as_it_does(made: Callable[..., Any]) -> None:
    theirs, ours = made(stdlib.ShareableList, RIGHT), made(ShareableList, RIGHT)
    assert [*theirs] == [*ours] == RIGHT
    assert bytes(ours.shm.buf) == bytes(theirs.shm.buf)


def test_an_item_that_fills_its_place(made: Callable[..., Any]) -> None:
    shared = made(ShareableList, [b"12345678", "next"])  # a place of 16 bytes
    shared[0] = b"x" * 15 + b"\0"
    assert [*shared] == [b"x" * 15 + b"\0", "next"]
    with pytest.raises(ValueError, match="exceeds available storage"):
        shared[0] = b"x" * 16 + b"\0"
    assert [*shared] == [b"x" * 15 + b"\0", "next"]


def test_lists_of_ours_and_the_stdlibs_attach_to_each_other(made: Callable[..., Any]) -> None:
    ours = made(ShareableList, ["\u4e2d" * 8, b"a\0"])
    theirs = stdlib.ShareableList(name=ours.shm.name)
    assert theirs[0] == "\u4e2d" * 8
    with pytest.raises(KeyError):
        theirs[1]  # rather than a wrong value
    theirs[1] = b"1234567"
    assert [*ours] == [*theirs] == ["\u4e2d" * 8, b"1234567"]
    theirs.shm.close()

    theirs = made(stdlib.ShareableList, ["a", 1])
    ours = ShareableList(name=theirs.shm.name)
    assert [*ours] == ["a", 1]
    ours[1] = "b"
    assert [*theirs] == ["a", "b"]
    ours.shm.close()


def test_a_lists_block_is_ours(made: Callable[..., Any]) -> None:
    shared = made(ShareableList, [1])
    again = ShareableList(name=shared.shm.name)
    assert type(shared.shm) is type(again.shm) is SharedMemory
    again.shm.close()


# -- managers, and the stdlib's names


def test_a_managers_blocks_and_lists_are_ours(run: Run, program: Write, method: str) -> None:
    text = f"""
    import lightwork as mp
    from lightwork.managers import SharedMemoryManager

    if __name__ == "__main__":
        with SharedMemoryManager(ctx=mp.get_context({method!r})) as manager:
            block, shared = manager.SharedMemory(size=8), manager.ShareableList(["a\\0"])
            print(type(block).__module__, type(shared).__module__, repr(shared[0]), block.name, shared.shm.name)
    """
    done = run(program(dedent(text)))
    *told, block, shared = done.stdout.split()
    assert told == ["lightwork.shared_memory", "lightwork.shared_memory", r"'a\x00'"]
    assert not exists(block) and not exists(shared)
    assert done.stderr == ""


def test_a_manager_that_cannot_be_told_of_a_block_leaves_none() -> None:
    names = [f"/psm_untold_{os.getpid()}_{i}" for i in range(2)]
    with (
        SharedMemoryManager() as manager,
        patch("lightwork.shared_memory._make_filename", side_effect=names) as make_filename,
        patch("lightwork.managers.dispatch", side_effect=EOFError),
    ):
        for make in (lambda: manager.SharedMemory(8), lambda: manager.ShareableList([1])):
            with pytest.raises(EOFError):
                make()
        assert make_filename.call_count == 2
    assert not any(exists(name[1:]) for name in names)


def test_installed(run: Run, program: Write, method: str) -> None:
    text = f"""
    import lightwork; lightwork.install()
    import multiprocessing
    from multiprocessing import managers, shared_memory
    from multiprocessing.shared_memory import ShareableList, SharedMemory

    def kinds(shared, block):
        return [type(each).__module__ for each in (shared, shared.shm, block)], shared[0]

    if __name__ == "__main__":
        multiprocessing.set_start_method({method!r})
        print(shared_memory.SharedMemory is SharedMemory, managers.SharedMemoryManager.__module__)
        with managers.SharedMemoryManager() as manager:
            with multiprocessing.Pool(1) as pool:
                made = manager.ShareableList(["a\\0", 1]), manager.SharedMemory(8)
                print(*pool.apply(kinds, made), kinds(*made) == pool.apply(kinds, made))
    """
    done = run(program(dedent(text)))
    ours = ["lightwork.shared_memory"] * 3
    assert done.stdout == f"True lightwork.managers\n{ours} a\0 True\n"
    assert done.stderr == ""


def test_what_is_set_in_the_module_is_set_in_the_stdlibs() -> None:
    original = stdlib._make_filename  # type: ignore[attr-defined]
    name = f"psm_set_{os.getpid()}"
    with patch("lightwork.shared_memory._make_filename", side_effect=["/" + name]):
        memory = SharedMemory(create=True, size=8)
    memory.close()
    memory.unlink()
    assert memory.name == name
    assert stdlib._make_filename is lightwork.shared_memory._make_filename is original  # type: ignore[attr-defined]
