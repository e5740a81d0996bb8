import lightwork as mp


def change(number, array):
    number.value = 3.14
    for i in range(len(array)):
        array[i] = -array[i]


if __name__ == "__main__":
    number = mp.Value("d", 0.0)
    array = mp.Array("i", [1, 2, 3, 4])
    p = mp.Process(target=change, args=(number, array))
    p.start()
    p.join()
    print(number.value)
    print(array[:])
