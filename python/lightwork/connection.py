"""The stdlib's module itself, under our name: Pipe, Listener, Client and wait."""

import multiprocessing.connection as _stdlib
import sys
from multiprocessing.connection import *  # noqa: F403 - what type checkers see

sys.modules[__name__] = _stdlib
