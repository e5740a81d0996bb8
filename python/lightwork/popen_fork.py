"""The stdlib's module itself, under our name: launching by fork."""

import multiprocessing.popen_fork as _stdlib
import sys
from multiprocessing.popen_fork import *  # noqa: F403 - what type checkers see

sys.modules[__name__] = _stdlib
