import ctypes
import sys

# glibc's malloc.h
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory():
    """Tells glibc to keep freed memory for the next step instead of handing it back.

    A training step frees and asks for the same hundreds of megabytes again; by default every step
    pays the kernel for each page anew (`benchmarks/train_step.py` prints both times). Changes
    nothing where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return
    # One arena, grown by sbrk and never trimmed: every other kind of memory goes back at once.
    libc.mallopt(_ARENA_MAX, 1)
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(_TOP_PAD, 2**28)
