"""A sample of the deaths at machine instructions; `run.py` by hand for all of them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tracer import unable

RUN = Path(__file__).with_name("run.py")

#: Without those that have thousands of instructions, or are much like one of these.
OPERATIONS = {
    "queues": ["put", "put-text", "put-to-sleeper", "get", "get-leaving"],
    "locks": ["acquire", "acquire-semaphore", "release", "set-event"],
    "pools": ["claim", "result"],
}


@pytest.mark.parametrize("names", OPERATIONS.values(), ids=OPERATIONS)
def test_a_death_at_any_instruction_harms_nobody(
    names: list[str], run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    if reason := unable():
        pytest.skip(reason)
    done = run(RUN, *names, "--every", 70, seconds=100)
    print(done.stdout)
