import time

import lightwork as mp


def job(v, num, lock):
    with lock:  # lock.acquire() here, lock.release() at the end
        for _ in range(5):
            time.sleep(0.1)  # time enough for them to meet
            v.value += num
            print(v.value)


if __name__ == "__main__":
    lock = mp.Lock()
    v = mp.Value("i", 0)
    p1 = mp.Process(target=job, args=(v, 1, lock))
    p2 = mp.Process(target=job, args=(v, 3, lock))
    p1.start()
    p2.start()
    p1.join()
    p2.join()
    assert v.value == 20
