"""The stdlib's module itself, under our name: launching by spawn."""

import multiprocessing.popen_spawn_posix as _stdlib
import sys
from multiprocessing.popen_spawn_posix import *  # noqa: F403 - what type checkers see

sys.modules[__name__] = _stdlib
