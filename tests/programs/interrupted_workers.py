"""Ctrl-C while a pool's workers come and go (argument: a start method): the pool goes on."""

import os
import signal
import sys
import time

import lightwork as mp


def work(x):
    time.sleep(0.001)
    return x


if __name__ == "__main__":
    os.setpgid(0, 0)
    with mp.get_context(sys.argv[1]).Pool(2, maxtasksperchild=10) as pool:
        for turn in range(10):
            try:
                pool.map_async(work, range(40), chunksize=1)
                time.sleep(0.01 * turn)
                os.killpg(0, signal.SIGINT)  # what a terminal does
                signal.pause()
            except KeyboardInterrupt:
                pass
        assert pool.map(work, range(4)) == [0, 1, 2, 3]
