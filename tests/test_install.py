"""`lightwork.install()`: whoever uses `multiprocessing`, in whatever way, uses lightwork, in children too."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Write = Callable[[str], Path]


def output(run: Run, program: Write, text: str, *args: str, **env: str) -> str:
    return run(program("import lightwork; lightwork.install()\n" + dedent(text)), *args, **env).stdout


# -- names


def test_every_form_of_import(run: Run, program: Write) -> None:
    text = """
    import multiprocessing, multiprocessing as mp, multiprocessing.pool as mpool
    from multiprocessing import *
    from multiprocessing import Queue as Q, context, queues
    from multiprocessing.context import BaseContext, SpawnContext
    from multiprocessing.managers import SyncManager
    from multiprocessing.pool import ThreadPool
    from multiprocessing.queues import Queue as QueueClass
    from multiprocessing.sharedctypes import RawArray as SharedRawArray
    import importlib

    made = [
        Q(), Queue(), mp.JoinableQueue(), SimpleQueue(), Lock(), mp.RLock(), Semaphore(), Condition(), Event(),
        Barrier(1), Value("i"), SharedRawArray("i", 1), mp.get_context("spawn").Lock(), context._default_context,
        importlib.import_module("multiprocessing.synchronize").Lock(ctx=None),
    ]
    classes = [mpool.Pool, ThreadPool, QueueClass, queues.SimpleQueue, BaseContext, SyncManager, Process, mp.Process]
    print({c.__module__.split(".")[0] for c in [*map(type, made), *classes]})
    print(isinstance(Queue(), QueueClass), isinstance(get_context("spawn"), SpawnContext))
    print(isinstance(current_process(), multiprocessing.process.BaseProcess))
    """
    assert output(run, program, text) == "{'lightwork'}\nTrue True\nTrue\n"


def test_a_patch_of_a_name_is_seen_and_taken_back(run: Run, program: Write) -> None:
    text = """
    import multiprocessing.pool
    from unittest.mock import patch
    ours = multiprocessing.pool.Pool
    with patch("multiprocessing.pool.Pool", 1), patch("multiprocessing.pool.job_counter", 2):
        print(multiprocessing.pool.Pool, multiprocessing.pool.job_counter)
    print(multiprocessing.pool.Pool is ours, multiprocessing.pool.job_counter)
    """
    assert output(run, program, text) == "1 2\nTrue count(0)\n"


def test_a_subclass_written_for_the_stdlibs_layout_gets_the_stdlibs_class(run: Run, program: Write) -> None:
    text = """
    import multiprocessing.queues, lightwork.queues
    class Theirs(multiprocessing.queues.Queue):
        def __setstate__(self, state): ...
    print(issubclass(Theirs, lightwork.queues.Queue), Theirs.__mro__[1].__qualname__, Theirs.__mro__[1].__module__)
    """
    assert output(run, program, text) == "False _stdlib_Queue multiprocessing.queues\n"


# -- what was there before


def test_what_was_taken_before_uses_it_too(run: Run, program: Write, method: str) -> None:
    text = f"""
    from multiprocessing import Manager, Pool, Process, Queue, Value, get_context, get_start_method, set_start_method
    import multiprocessing

    context = get_context({method!r})

    class Worker(Process):
        def run(self): self._args[0].put(self._args[1] + 1)

    def send(queue, value): queue.put(value)

    import lightwork
    if __name__ == "__main__":
        lightwork.install()
        set_start_method({method!r})
        print(get_start_method(), lightwork.get_start_method(), multiprocessing.get_start_method())
        queue = Queue()
        for process in (Worker(args=(queue, 1)), Process(target=send, args=(queue, 2)),
                        context.Process(target=send, args=(queue, 3))):
            process.start()
            process.join()
        print([queue.get(timeout=10) for _ in range(3)])
        print({{type(x).__module__ for x in (queue, context.Queue(), context.SimpleQueue())}})
        print(type(context.Lock()).__module__, type(Value("i")).__module__)
        with Pool(1) as a, context.Pool(1) as b:
            print(a.map(abs, [-1]), b.map(abs, [-2]), type(a).__module__, type(b).__module__)
        with Manager() as manager:
            print(type(manager).__module__)
    """
    assert run(program(dedent(text))).stdout == (
        f"{method} {method} {method}\n[2, 2, 3]\n{{'lightwork.queues'}}\nlightwork.synchronize lightwork.sharedctypes\n"
        "[1] [2] lightwork.pool lightwork.pool\nlightwork.managers\n"
    )


def test_a_start_method_chosen_before_stays_chosen(run: Run, program: Write) -> None:
    text = """
    import multiprocessing
    multiprocessing.set_start_method("spawn")
    import lightwork
    lightwork.install()
    print(multiprocessing.get_start_method(), lightwork.get_start_method())
    try:
        multiprocessing.set_start_method("fork")
    except RuntimeError as e:
        print(e)
    """
    assert run(program(dedent(text))).stdout == "spawn spawn\ncontext has already been set\n"


def test_objects_made_before_go_on_working(run: Run, program: Write, method: str) -> None:
    text = f"""
    import multiprocessing

    def send(lock, queue):
        with lock:
            queue.put(1)

    def things():
        context = multiprocessing.get_context({method!r})
        return context.Lock(), context.Queue()

    if __name__ == "__main__":
        old = things()
        import lightwork
        lightwork.install()
        for things in (old, things()):
            process = multiprocessing.get_context({method!r}).Process(target=send, args=things)
            process.start()
            print(things[1].get(timeout=30), *(type(thing).__module__ for thing in things))
            process.join()
    """
    assert run(program(dedent(text))).stdout == (
        "1 multiprocessing.synchronize multiprocessing.queues\n1 lightwork.synchronize lightwork.queues\n"
    )


def test_subclasses_made_before_go_on_working(run: Run, program: Write) -> None:
    text = """
    import multiprocessing, multiprocessing.pool, multiprocessing.queues

    class MyQueue(multiprocessing.queues.JoinableQueue): pass
    class MyPool(multiprocessing.pool.ThreadPool): pass

    import lightwork
    lightwork.install()
    context = multiprocessing.get_context("fork")
    queue = MyQueue(1, ctx=context)
    process = context.Process(target=queue.put, args=(1,))
    process.start()
    print(queue.get(timeout=30), queue.full(), queue.qsize())
    process.join()
    queue.task_done()
    queue.join()
    with MyPool(2) as pool:
        print(pool.map(abs, [-1, -2]))
    """
    assert run(program(dedent(text))).stdout == "1 False 0\n[1, 2]\n"


def test_twice_is_once(run: Run, program: Write) -> None:
    text = """
    import multiprocessing.pool
    before = dict(vars(multiprocessing)), type(multiprocessing.pool)
    lightwork.install()
    print(before == (vars(multiprocessing), type(multiprocessing.pool)))
    """
    assert output(run, program, text) == "True\n"


# -- children


def test_children_and_grandchildren(run: Run, program: Write, method: str) -> None:
    text = f"""
    import multiprocessing
    from multiprocessing import Process, Queue, queues

    class Tagged(queues.Queue):
        "The class of an object that is pickled: it has to be the same one in the child."

    def tell(queue):
        queue.put((type(multiprocessing.Lock()).__module__, multiprocessing.get_start_method(), type(queue).__name__))

    def child(queue):
        tell(queue)
        grandchild = Process(target=tell, args=(queue,))
        grandchild.start()
        grandchild.join()

    def in_pool(x):
        with multiprocessing.pool.ThreadPool(1) as pool:
            return pool.map(abs, [x])[0], type(pool).__module__, type(multiprocessing.Lock()).__module__

    if __name__ == "__main__":
        multiprocessing.set_start_method({method!r})
        queue = Tagged(ctx=multiprocessing.get_context())
        process = Process(target=child, args=(queue,))
        process.start()
        print(queue.get(timeout=30), queue.get(timeout=30))
        process.join()
        with multiprocessing.Pool(1) as pool:
            print(pool.map(in_pool, [-1]))
        with multiprocessing.Manager() as manager:
            with manager.Pool(1) as pool:
                print(pool.map(abs, [-3]))
            shared = manager.Queue(), manager.dict(a=1)
            shared[0].put(4)
            print(shared[0].get(), shared[1].copy())
    """
    told = ("lightwork.synchronize", method, "Tagged")
    assert output(run, program, text) == (
        f"{told} {told}\n[(1, 'lightwork.pool', 'lightwork.synchronize')]\n[3]\n4 {{'a': 1}}\n"
    )


def test_modules_that_a_forkserver_preloads(run: Run, program: Write, tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text(
        "import multiprocessing.queues\nclass Mine(multiprocessing.queues.Queue): pass\n"
    )
    text = """
    import multiprocessing
    from early import Mine

    if __name__ == "__main__":
        multiprocessing.set_start_method("forkserver")
        multiprocessing.set_forkserver_preload(["early"])
        queue = Mine(ctx=multiprocessing.get_context())
        process = multiprocessing.Process(target=queue.put, args=(Mine.__mro__[1].__module__,))
        process.start()
        print(queue.get(timeout=30))
        process.join()
    """
    assert output(run, program, text, PYTHONPATH=str(tmp_path)) == "lightwork.queues\n"


def test_daemonic_pools_made_undaemonic(run: Run, program: Write, method: str) -> None:
    # A pattern that many programs copied: workers that may have children.
    text = f"""
    import multiprocessing, multiprocessing.pool

    class NoDaemonProcess(multiprocessing.get_context({method!r}).Process):
        @property
        def daemon(self): return False
        @daemon.setter
        def daemon(self, value): pass

    class NoDaemonContext(type(multiprocessing.get_context({method!r}))):
        Process = NoDaemonProcess

    class NestablePool(multiprocessing.pool.Pool):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, context=NoDaemonContext(), **kwargs)

    def inner(n):
        with multiprocessing.get_context({method!r}).Pool(1) as pool:
            return pool.map(abs, range(-n, 0))

    if __name__ == "__main__":
        with NestablePool(2) as pool:
            print(pool.map(inner, [1, 2]))
    """
    assert output(run, program, text) == "[[1], [2, 1]]\n"


# -- libraries


def test_logging_through_a_queue(run: Run, program: Write, method: str) -> None:
    text = f"""
    import logging, logging.handlers, multiprocessing

    def work(queue, i):
        logger = logging.getLogger()
        logger.setLevel("INFO")
        logger.addHandler(logging.handlers.QueueHandler(queue))
        logger.info("from %d", i)

    class Keep(logging.Handler):
        kept = []
        def emit(self, record): self.kept.append(record.getMessage())

    if __name__ == "__main__":
        multiprocessing.set_start_method({method!r})
        queue = multiprocessing.Queue(-1)
        listener = logging.handlers.QueueListener(queue, Keep())
        listener.start()
        processes = [multiprocessing.Process(target=work, args=(queue, i)) for i in range(2)]
        for process in processes: process.start()
        for process in processes: process.join()
        listener.stop()
        print(sorted(Keep.kept))
    """
    assert output(run, program, text) == "['from 0', 'from 1']\n"


def test_the_rest_of_the_package(run: Run, program: Write) -> None:
    text = """
    from multiprocessing import Pipe, dummy, shared_memory
    from multiprocessing.managers import BaseManager, SharedMemoryManager

    class Own(BaseManager): pass
    Own.register("make", dict, exposed=["get"])

    if __name__ == "__main__":
        with dummy.Pool(2) as pool:
            print(pool.map(abs, [-1]), type(pool).__module__)
        with SharedMemoryManager() as manager:
            print(*manager.ShareableList([1, "two"]))
        with Own() as manager:
            print(manager.make({1: 2}).get(1))
        block = shared_memory.SharedMemory(create=True, size=8)
        print(len(block.buf) >= 8)
        block.close()
        block.unlink()
        a, b = Pipe()
        a.send(3)
        print(b.recv())
    """
    assert output(run, program, text) == "[1] lightwork.pool\n1 two\n2\nTrue\n3\n"


@pytest.mark.parametrize("first", ["install", "import"])
def test_executor_in_an_installed_program(run: Run, program: Write, method: str, first: str) -> None:
    lines = ["import lightwork; lightwork.install()", "import concurrent.futures.process"]
    text = f"""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    def lock_of(x): return x, type(multiprocessing.Lock()).__module__

    if __name__ == "__main__":
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context({method!r})) as executor:
            print(*executor.map(lock_of, range(2)))
            try:
                executor.submit(lambda: 0).result(timeout=30)
            except Exception as e:
                print("pickle" in str(e))
        multiprocessing.set_start_method({method!r}, force=True)
        with ProcessPoolExecutor(1) as executor:
            print(executor.submit(lock_of, 2).result(timeout=30))
    """
    body = "\n".join(lines if first == "install" else lines[::-1]) + dedent(text)
    at = "lightwork.synchronize"
    assert run(program(body)).stdout == f"(0, '{at}') (1, '{at}')\nTrue\n(2, '{at}')\n"


# -- ProcessPoolExecutor over our contexts, without install()


def square(x: int) -> int:
    return x * x


def test_executor_over_a_context(ctx: Any) -> None:
    with ProcessPoolExecutor(2, mp_context=ctx) as executor:
        assert list(executor.map(square, range(5))) == [0, 1, 4, 9, 16]
        with pytest.raises(Exception, match=r"pickle|local object"):
            executor.submit(lambda: 0).result(timeout=30)
        assert executor.submit(square, 3).result(timeout=30) == 9


def test_executors_results_can_be_seen_at_once(ctx: Any) -> None:
    # Seen later than the end of the worker that sent it, a result counted as lost, and the executor as broken.
    with ProcessPoolExecutor(1, mp_context=ctx) as executor:
        results: Any = executor._result_queue
        for _ in range(10):
            results.put(1)
            assert wait([results._reader], 0) == [results._reader]
            assert results.get() == 1


def test_executors_workers_may_end_right_after_their_result(ctx: Any) -> None:
    if ctx.get_start_method() == "fork":
        pytest.skip("max_tasks_per_child is not for fork")
    for i in range(3):
        # One worker and one task: the executor has a race of its own between starting a worker and noting its pid.
        with ProcessPoolExecutor(1, mp_context=ctx, max_tasks_per_child=1) as executor:
            assert executor.submit(square, i).result(timeout=30) == i * i
