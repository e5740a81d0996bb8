"""What a forkserver imports first of all, if `install()` is in force where it was started."""

from ._install import install

install()
