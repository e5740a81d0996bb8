"""What is interrupted, and what has to hold for the others afterwards. One object is one run."""

from __future__ import annotations

from on_locks import (
    Acquire,
    AcquireRLock,
    AcquireSemaphore,
    AcquireTaken,
    Notify,
    PassBarrier,
    Release,
    ReleaseRLock,
    ReleaseSemaphore,
    SetEvent,
    Signal,
    WaitBarrier,
    WaitCondition,
)
from on_pools import (
    Claim,
    Result,
)
from on_queues import (
    Get,
    GetBuffer,
    GetFromFull,
    GetLeaving,
    GetNothing,
    GetShared,
    GetText,
    Put,
    PutBuffer,
    PutGrowing,
    PutText,
    PutToFull,
    PutToSleeper,
    TaskDone,
)
from operation import Operation

OPERATIONS: dict[str, type[Operation]] = {
    "put": Put,
    "put-text": PutText,
    "put-buffer": PutBuffer,
    "put-growing": PutGrowing,
    "put-to-sleeper": PutToSleeper,
    "get": Get,
    "get-text": GetText,
    "get-buffer": GetBuffer,
    "get-leaving": GetLeaving,
    "get-shared": GetShared,
    "get-nothing": GetNothing,
    "put-to-full": PutToFull,
    "get-from-full": GetFromFull,
    "task-done": TaskDone,
    "acquire": Acquire,
    "acquire-rlock": AcquireRLock,
    "acquire-semaphore": AcquireSemaphore,
    "release": Release,
    "release-rlock": ReleaseRLock,
    "release-semaphore": ReleaseSemaphore,
    "acquire-taken": AcquireTaken,
    "signal": Signal,
    "notify": Notify,
    "wait-condition": WaitCondition,
    "set-event": SetEvent,
    "pass-barrier": PassBarrier,
    "wait-barrier": WaitBarrier,
    "claim": Claim,
    "result": Result,
}
