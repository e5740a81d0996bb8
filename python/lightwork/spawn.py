"""The stdlib's module itself, under our name: how a spawned child starts."""

import multiprocessing.spawn as _stdlib
import sys
from multiprocessing.spawn import *  # noqa: F403 - what type checkers see

sys.modules[__name__] = _stdlib
