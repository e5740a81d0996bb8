"""The stdlib's module itself, under our name: the server that forks children."""

import multiprocessing.forkserver as _stdlib
import sys
from multiprocessing.forkserver import *  # noqa: F403 - what type checkers see

sys.modules[__name__] = _stdlib
