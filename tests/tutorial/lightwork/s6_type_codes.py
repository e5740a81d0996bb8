import sys
from ctypes import sizeof

import lightwork as mp

# | Type code | Python Type | Minimum size in bytes |
table = [
    ("b", int, 1),
    ("B", int, 1),
    ("u", str, 2),
    ("h", int, 2),
    ("H", int, 2),
    ("i", int, 2),
    ("I", int, 2),
    ("l", int, 4),
    ("L", int, 4),
    ("q", int, 8),
    ("Q", int, 8),
    ("f", float, 4),
    ("d", float, 8),
]


def job(value, array, one, two):
    value.value = one
    array[0] = one
    array[1] = two


if __name__ == "__main__":
    if sys.argv[1:]:
        mp.set_start_method(sys.argv[1])
    for code, python_type, minimum in table:
        one, two = (python_type(8), python_type(9))  # '8', 8, 8.0
        value = mp.Value(code, python_type(1))
        array = mp.Array(code, 2)
        p1 = mp.Process(target=job, args=(value, array, one, two))
        p1.start()
        p1.join()
        sizes = sizeof(value.get_obj()) >= minimum, sizeof(array.get_obj()) >= 2 * minimum
        print(code, repr(value.value), list(array), *sizes)
