import time

import lightwork as mp


def job(q):
    res = 0
    for i in range(1000000):
        res += i + i**2 + i**3
    q.put(res)


def multicore():
    q = mp.Queue()
    p1 = mp.Process(target=job, args=(q,))
    p2 = mp.Process(target=job, args=(q,))
    p1.start()
    p2.start()
    p1.join()
    p2.join()
    print("multicore:", q.get() + q.get())


def multithread():
    q = mp.Queue()  # the same queue serves threads
    t1 = mp.Thread(target=job, args=(q,))
    t2 = mp.Thread(target=job, args=(q,))
    t1.start()
    t2.start()
    t1.join()
    t2.join()
    print("multithread:", q.get() + q.get())


def normal():
    res = 0
    for _ in range(2):
        for i in range(1000000):
            res += i + i**2 + i**3
    print("normal:", res)


if __name__ == "__main__":
    for way in (normal, multithread, multicore):
        start = time.perf_counter()
        way()
        print(f"{way.__name__} time: {time.perf_counter() - start:.3f}")
