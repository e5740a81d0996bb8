"""The stdlib's module itself, under our name: launching by forkserver."""

import multiprocessing.popen_forkserver as _stdlib
import sys
from multiprocessing.popen_forkserver import *  # noqa: F403 - what type checkers see

sys.modules[__name__] = _stdlib
