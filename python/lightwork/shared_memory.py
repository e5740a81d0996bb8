"""The stdlib's module itself, under our name: named shared memory."""

import multiprocessing.shared_memory as _stdlib
import sys
from multiprocessing.shared_memory import *  # noqa: F403 - what type checkers see

sys.modules[__name__] = _stdlib
