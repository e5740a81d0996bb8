"""A Pool maps a function over many values, or applies it to one."""

import lightwork as mp


def job(x):
    return x * x


if __name__ == "__main__":
    with mp.Pool() as pool:
        print(pool.map(job, range(10)))
        print(pool.apply_async(job, (2,)).get())
        results = [pool.apply_async(job, (i,)) for i in range(10)]
        print([result.get() for result in results])
