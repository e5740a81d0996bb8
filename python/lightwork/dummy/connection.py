"""The stdlib's module itself, under our name: connections between threads."""

import multiprocessing.dummy.connection as _stdlib
import sys
from multiprocessing.dummy.connection import *  # noqa: F403 - what type checkers see

sys.modules[__name__] = _stdlib
