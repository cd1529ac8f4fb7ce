"""Run a program, and print what it took: seconds, CPU seconds, octets of memory at its peak, and its exit status.

Run as `python -IS benchmarks/measured.py PROGRAM ARGUMENT...`: a process of its own, as small as can be, since the peak
of a program counts from what its parent had.
"""

import os
import resource
import sys
import time


def main() -> None:
    began = time.perf_counter()
    pid = os.fork()
    if not pid:
        try:
            os.execvp(sys.argv[1], sys.argv[1:])
        finally:
            os._exit(127)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    # Also of the processes that it has started and waited for.
    print(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
