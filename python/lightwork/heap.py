"""The stdlib's module itself, under our name: the heap behind the stdlib's own shared ctypes, which ours do not use."""

import multiprocessing.heap as _stdlib
import sys
from multiprocessing.heap import *  # noqa: F403 - what type checkers see

sys.modules[__name__] = _stdlib
