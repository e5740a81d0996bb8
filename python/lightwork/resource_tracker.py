"""The stdlib's module itself, under our name: the tracker of named resources, of which lightwork's primitives have
none.
"""

import multiprocessing.resource_tracker as _stdlib
import sys
from multiprocessing.resource_tracker import *  # noqa: F403 - what type checkers see

sys.modules[__name__] = _stdlib
