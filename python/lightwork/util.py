"""The stdlib's module itself, under our name: finalizers and logging."""

import multiprocessing.util as _stdlib
import sys
from multiprocessing.util import *  # noqa: F403 - what type checkers see

sys.modules[__name__] = _stdlib
