import sys

import lightwork as mp


def job(x):
    return x * x


def multicore():
    pool = mp.Pool()
    res = pool.apply_async(
        job,
        (
            2,
            3,
            4,
        ),
    )
    print("apply_async() returned")
    print(res.get())


if __name__ == "__main__":
    if sys.argv[1:]:
        mp.set_start_method(sys.argv[1])
    multicore()
