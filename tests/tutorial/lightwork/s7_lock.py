import sys
import time

import lightwork as mp


def job(v, num, lock):
    lock.acquire()  # 锁住
    for _ in range(5):
        time.sleep(0.1)
        v.value += num  # 获取共享内存
        print(v.value)
    lock.release()  # 释放


def multicore():
    lock = mp.Lock()  # 定义一个进程锁
    v = mp.Value("i", 0)  # 定义共享内存
    p1 = mp.Process(target=job, args=(v, 1, lock))  # 需要将lock传入
    p2 = mp.Process(target=job, args=(v, 3, lock))
    p1.start()
    p2.start()
    p1.join()
    p2.join()


if __name__ == "__main__":
    if sys.argv[1:]:
        mp.set_start_method(sys.argv[1])
    multicore()
