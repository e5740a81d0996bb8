import lightwork as mp


def big(q):
    q.put(bytes(50_000_000))


if __name__ == "__main__":
    q = mp.Queue()
    p = mp.Process(target=big, args=(q,))
    p.start()
    p.join()  # before the get(): there is no pipe that could be full
    print(len(q.get()))

    q.put("there")
    print(q.get_nowait())  # at once: nothing is still on its way

    numbers = [1, 2]
    q.put(numbers)
    numbers.append(3)  # too late: the queue has [1, 2]
    print(q.get())
