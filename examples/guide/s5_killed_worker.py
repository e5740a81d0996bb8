import os
import signal

import lightwork as mp
from lightwork.errors import WorkerDied


def job(x):
    if x == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


if __name__ == "__main__":
    with mp.Pool(2) as pool:
        results = [pool.apply_async(job, (i,)) for i in range(6)]
        for i, res in enumerate(results):
            try:
                print(i, res.get())
            except WorkerDied as error:
                print(i, "killed by signal", -error.exitcode)
