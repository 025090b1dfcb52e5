import itertools

_NEAR = 4  # words
_FUNCTION_WORDS = frozenset(
    # determiners and numbers
    "a an the this that these those some any no each every all both another other one two three"
    " four five six seven eight nine ten"
    # pronouns
    " i you he she it we they me him her us them my your his its our their himself herself itself"
    " themselves who whose which what someone something there"
    # prepositions
    " of in on at to with without by from for into onto out off over under up down through"
    " across along around near beside behind between above below against towards toward past"
    " during inside outside upon after before about like"
    # conjunctions
    " and or but while whilst as so than if because when where"
    # auxiliaries and clitics
    " is are was were be been being am has have had having do does did can could will would may"
    " might must should 's 're 've 'll 'd n't not".split()
)


def fluency(captions):
    """How often captions stutter, how often they are alike, and how long they are.

    A caption's words are counted as they stand: function words have places too, and punctuation
    has none if the captions come from `tokenize`. An empty caption repeats nothing.

    Args:
        captions: list of lists of words.
    Returns:
        Dict of five figures, all 0 where there are no captions. Four are shares of all captions,
        0..1:
        `repeated_bigram`, those in which two words in a row come twice: the same two at two places,
        which may overlap ("a a a");
        `word_and_same_word`, those with one word on both sides of "and": "water and water", but not
        "a dog and a dog", since an article is a word like any other here;
        `near_repeat`, those in which a content word comes again within four words: the two places
        differ by at most 4, so that at most three words stand between them. Content words are all
        but this file's list of determiners, numbers up to ten, pronouns, prepositions,
        conjunctions and auxiliaries;
        `distinct`, the number of different captions by the number of captions.
        `mean_length` is in words.
    """
    figures = {
        "repeated_bigram": sum(_repeated_bigrams(each) > 0 for each in captions),
        "word_and_same_word": sum(map(_joins_word_to_itself, captions)),
        "near_repeat": sum(_near_repeats(each) > 0 for each in captions),
        "distinct": len({tuple(words) for words in captions}),
        "mean_length": sum(map(len, captions)),
    }
    return {name: total / max(len(captions), 1) for name, total in figures.items()}


def repetitions(words):
    """How many places of a caption repeat: a pair of words that came before, and a content word
    that came within four words before, are one each."""
    return _repeated_bigrams(words) + _near_repeats(words)


def _repeated_bigrams(words):
    bigrams = list(itertools.pairwise(words))
    return len(bigrams) - len(set(bigrams))


def _joins_word_to_itself(words):
    triples = zip(words, words[1:], words[2:], strict=False)
    return any(middle == "and" and before == after for before, middle, after in triples)


def _near_repeats(words):
    return sum(
        word not in _FUNCTION_WORDS and word in words[max(0, place - _NEAR) : place]
        for place, word in enumerate(words)
    )
