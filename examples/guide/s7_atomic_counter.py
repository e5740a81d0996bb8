import lightwork as mp


def count(v):
    for _ in range(10_000):
        v += 1


if __name__ == "__main__":
    v = mp.Value("q", 0)
    crew = [mp.Process(target=count, args=(v,)) for _ in range(4)]
    for process in crew:
        process.start()
    for process in crew:
        process.join()
    print(v.value)
