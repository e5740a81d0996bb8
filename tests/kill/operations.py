"""All operations."""

import lock_operations
import process_operations
import queue_operations
from operation import Operation

OPERATIONS: list[type[Operation]] = [
    *queue_operations.OPERATIONS,
    *lock_operations.OPERATIONS,
    *process_operations.OPERATIONS,
]
