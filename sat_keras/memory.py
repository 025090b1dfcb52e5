import ctypes
import sys

# glibc's malloc.h
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory():
    """Tells glibc to keep freed memory for the next step instead of returning it to the kernel.

    Each training step allocates and frees the same hundreds of megabytes. By default the kernel
    maps each page anew at every step (`benchmarks/train_step.py` prints both times). Does nothing
    without glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return
    # One arena, grown by sbrk and never trimmed: memory of any other kind is returned at once.
    libc.mallopt(_ARENA_MAX, 1)
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(_TOP_PAD, 2**28)
