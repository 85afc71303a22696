"""A peer of the bench: reads and writes shared memory, and times its own loops.

Each line of the input is a word and a count; the answer is the nanoseconds of one operation. The
input's end is the end of the process.
"""

import sys
import time
from multiprocessing.shared_memory import SharedMemory
from struct import Struct

NUMBER = Struct("=Q")
BYTES = bytes(64)


def get(buffer, count):
    unpack = NUMBER.unpack_from
    for _ in range(count):
        unpack(buffer, 0)


def set(buffer, count):
    pack = NUMBER.pack_into
    for number in range(count):
        pack(buffer, 0, number)


def get_bytes(buffer, count):
    for _ in range(count):
        bytes(buffer[0:64])


def set_bytes(buffer, count):
    for _ in range(count):
        buffer[0:64] = BYTES


WORK = {"get": get, "set": set, "get-bytes": get_bytes, "set-bytes": set_bytes}
memory = SharedMemory(create=True, size=4096)
try:
    print("ready", flush=True)
    for line in sys.stdin:
        word, count = line.split()
        began = time.perf_counter_ns()
        WORK[word](memory.buf, int(count))
        print((time.perf_counter_ns() - began) / int(count), flush=True)
finally:
    memory.close()
    memory.unlink()
