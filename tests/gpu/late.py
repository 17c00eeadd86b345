"""A fault for `make gpu`: the third child that a process forks sleeps. Loaded as `sitecustomize` by every Python of the image."""
import os, time

fork, forked = os.fork, [0]


def late():
    forked[0] += 1
    child = fork()
    if child == 0 and forked[0] == 3:
        time.sleep(3600)
    return child


os.fork = late
