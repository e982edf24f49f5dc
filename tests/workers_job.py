"""What worker processes do in tests. Imports little, so that they start fast."""

import os
import sys
import time

import numpy as np


class Unpackable(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


class Number:
    """Batches that say who made them; at one of them an exception of this kind and arguments."""

    def __init__(self, fails_at=None, kind=None, *arguments, seconds=0.0):
        self.fails_at, self.kind, self.arguments = fails_at, kind, arguments
        self.seconds = seconds

    def __call__(self, number, allocate=np.empty):
        time.sleep(self.seconds)
        if number == self.fails_at:
            raise self.kind(*self.arguments)
        image = allocate((300, 1000), np.dtype(np.uint16))
        image[:] = number
        return {"image": image, "pid": os.getpid(), "loaded": "jax" in sys.modules}


if __name__ == "__main__":
    from workers_job import Number as Job  # as which the workers can import it

    from ppocr_jax.data.workers import Workers

    workers = Workers(Job(), 9999, 2, 2, 600_000)
    if sys.argv[1] == "started":  # and has no answer of them yet
        print(*(worker._process.pid for worker in workers._workers), flush=True)
    else:
        print(*(next(workers)["pid"] for _ in range(2)), flush=True)
    if sys.argv[2] == "stays":
        time.sleep(60)
