"""The stdlib's module itself, under our name: descriptors sent on demand."""

import multiprocessing.resource_sharer as _stdlib
import sys
from multiprocessing.resource_sharer import *  # noqa: F403 - what type checkers see

sys.modules[__name__] = _stdlib
