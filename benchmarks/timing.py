import statistics
import time


def median_seconds(functions, repeats):
    """Of each function of a dict, after one call that does not count. They take turns, so that the
    machine's changing speed is all of theirs."""
    for function in functions.values():
        function()
    seconds = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in seconds.items()}
