from collections import Counter

# Names of jobs, such as policeman and cowboy, are not in here: they are said of both sexes.
_WORDS = {
    "male": frozenset(
        "man men boy boys guy guys gentleman gentlemen male males he him his himself father fathers"
        " dad dads daddy son sons brother brothers husband husbands grandfather grandfathers uncle"
        " uncles groom".split()
    ),
    "female": frozenset(
        "woman women girl girls lady ladies female females she her hers herself mother mothers mom"
        " moms mommy daughter daughters sister sisters wife wives grandmother grandmothers aunt"
        " aunts bride brides".split()
    ),
}


def sexes(captions, references):
    """How often captions name a sex that the references do not name.

    A caption names a sex if it has words of that sex and none of the other, from this file's two
    lists: nouns of people ("man", "girls", "mother") and pronouns ("his", "she"), whomever they
    stand for. A caption with words of both, such as "a man and a woman", names none. A reference
    speaks for every sex that it has a word of: "a man and a woman" speaks for both.

    Args:
        captions: list of lists of words, one per photo.
        references: for each photo, a list of lists of words.
    Returns:
        Dict: of `all`, of `male` and of `female` a dict of shares, 0..1. `named`: of all captions,
        those that name a sex, this sex. Of these, `contradicted`: no reference has a word of that
        sex, and some reference has one of the other; `unsupported`: no reference has a word of
        either. The rest has a reference that speaks for it. Shares of no captions are 0.
    """
    verdicts = Counter()  # by (sex, verdict)
    for caption, of_photo in zip(captions, references, strict=True):
        named = _sexes_of([caption])
        if len(named) != 1:
            continue
        spoken_for = _sexes_of(of_photo)
        if named <= spoken_for:
            verdict = "supported"
        else:
            verdict = "contradicted" if spoken_for else "unsupported"
        verdicts[named.pop(), verdict] += 1
    figures = {}
    for name, among in (("all", ("male", "female")), ("male", ("male",)), ("female", ("female",))):
        total = sum(count for (sex, _), count in verdicts.items() if sex in among)
        figures[name] = {"named": total / max(len(captions), 1)}
        for verdict in ("contradicted", "unsupported"):
            count = sum(verdicts[sex, verdict] for sex in among)
            figures[name][verdict] = count / max(total, 1)
    return figures


def _sexes_of(captions):
    """The sexes that any of these captions has a word of."""
    return {sex for sex, known in _WORDS.items() if any(known.intersection(c) for c in captions)}
