import lightwork as mp


def job(x):
    return x * x


def multicore():
    with mp.Pool() as pool:
        res = pool.map(job, range(10))
        print(res)


if __name__ == "__main__":
    multicore()
