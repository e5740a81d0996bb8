import os
import warnings

import lightwork as mp


def die(lock):
    lock.acquire()
    os._exit(1)


if __name__ == "__main__":
    lock = mp.Lock()
    p = mp.Process(target=die, args=(lock,))
    p.start()
    p.join()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with lock:
            print(lock.owner_died, caught[0].category.__name__)
