import sys

import lightwork as mp


def job(x):
    return x * x


def multicore():
    pool = mp.Pool(processes=3)  # 定义CPU核数量为3
    res = pool.map(job, range(10))
    print(res)


if __name__ == "__main__":
    if sys.argv[1:]:
        mp.set_start_method(sys.argv[1])
    multicore()
