import sys

import lightwork as mp

if __name__ == "__main__":
    if sys.argv[1:]:
        mp.set_start_method(sys.argv[1])
    value1 = mp.Value("i", 0)
    value2 = mp.Value("d", 3.14)
    array = mp.Array("i", [1, 2, 3, 4])
    print(value1.value, value2.value)
    print(array[:])
