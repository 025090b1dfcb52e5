"""Finds names of things in the words of captions."""


def plurals(name):
    """The plain plurals of a name, in s, es and ies.

    Args:
        name: tuple of str, its words; the last one changes.
    Returns:
        List of such tuples; not all of them are English.
    """
    *before, last = name
    found = [last + "s", last + "es"]
    if last.endswith("y"):
        found.append(last[:-1] + "ies")
    return [(*before, each) for each in found]


def find_names(words, names):
    """Names in a caption: from left to right, the longest first, none inside another.

    Args:
        words: sequence of str, the tokenised caption.
        names: dict, tuples of words to what they name.
    Yields:
        `(first, end, names[words[first:end]])`.
    """
    first = 0
    while first < len(words):
        for end in range(len(words), first, -1):
            named = names.get(tuple(words[first:end]))
            if named is not None:
                yield first, end, named
                first = end
                break
        else:
            first += 1
