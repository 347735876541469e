"""Runs one command and writes what it took: wall, CPU and peak memory. Not imported, only run.

It stays as small as Python gets (`python -I -S`, nothing but built-in modules), because Linux
counts the memory of whoever starts a process into that process's own peak.
"""

import os
import sys
import time


def main(report: str, command: list[str]) -> None:
    """Run the command; write `status wall cpu rss` (seconds, seconds, bytes) to the report."""
    environment = dict(os.environ)
    start = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, environment)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    line = f"{os.waitstatus_to_exitcode(status)} {wall} {usage.ru_utime + usage.ru_stime} {peak}\n"
    out = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(out, line.encode())
    os.close(out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
