"""All operations."""

import queue_operations
from operation import Operation

OPERATIONS: list[type[Operation]] = [*queue_operations.OPERATIONS]
