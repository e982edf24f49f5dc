"""One of two processes that have joined: fails, ends, or waits for the other to do so."""

import os
import signal
import sys
import time

from ppocr_jax import cli
from ppocr_jax.errors import UserError
from ppocr_jax.processes import company
from ppocr_jax.processes.joining import joined

company.BEAT_S, company.GONE_S = 0.2, 4.0  # a test has no time


def main(argv):
    port, index, deed = argv
    with joined(f"127.0.0.1:{port}", 2, int(index)):
        company.set_advice(lambda: "goes on at step 7")
        assert company.exchange("here", index) == ["0", "1"]
        if deed == "fails":
            raise UserError("its disk is full")
        if deed == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if deed == "is elsewhere":
            company.exchange("elsewhere")
        if deed == "stays":
            company.exchange("home")
            time.sleep(60)
    return 0


if __name__ == "__main__":
    cli.run(main, sys.argv[1:])
