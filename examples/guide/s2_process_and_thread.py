import lightwork as mp


def job(a, d):
    print("aaaaa")


if __name__ == "__main__":
    t1 = mp.Thread(target=job, args=(1, 2))
    p1 = mp.Process(target=job, args=(1, 2))
    p1.start()
    t1.start()
    p1.join()
    t1.join()
