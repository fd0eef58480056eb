"""Hands sockets to a program as systemd does, and starts it again when told.

activate.py NAME=HOST:PORT|NAME=PATH... -- PROGRAM ARGUMENT...

Prints the program's pid. A line `restart` on standard input ends the program with SIGTERM and starts it again, with
the same sockets; its next pid is printed. A line `wait` waits for its own end. At the end of the input the program is
ended for good. The exit code is the program's.
"""

import os
import signal
import socket
import sys

FIRST = 3
# Longest wait for anything, seconds.
PATIENCE = 20


def opened(spec):
    name, _, where = spec.partition("=")
    if where.startswith("/"):
        listener = socket.socket(socket.AF_UNIX)
        os.umask(0o177)
        listener.bind(where)
    else:
        host, _, port = where.rpartition(":")
        listener = socket.socket(socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
    listener.listen(128)
    return name, listener


def start(sockets, program):
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        return pid
    # Above the numbers that they get, so that none overwrites another.
    high = [os.dup2(listener.fileno(), 200 + index) for index, (_, listener) in enumerate(sockets)]
    for index, fd in enumerate(high):
        os.dup2(fd, FIRST + index, inheritable=True)
        os.close(fd)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(sockets))
    os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _ in sockets)
    os.execv(program[0], program)


def ended(pid, tell=True):
    if tell:
        os.kill(pid, signal.SIGTERM)
    # Without an answer this process ends too, by the alarm.
    signal.alarm(PATIENCE)
    _, status = os.waitpid(pid, 0)
    signal.alarm(0)
    return os.waitstatus_to_exitcode(status)


def main():
    split = sys.argv.index("--")
    sockets = [opened(spec) for spec in sys.argv[1:split]]
    program = sys.argv[split + 1 :]
    pid = start(sockets, program)
    for order in sys.stdin:
        if order.strip() == "wait":
            sys.exit(ended(pid, tell=False))
        if code := ended(pid):
            sys.exit(f"the program ended with {code}")
        pid = start(sockets, program)
    sys.exit(ended(pid))


main()
