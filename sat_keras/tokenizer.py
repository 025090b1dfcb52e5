"""Sentences to words by the Penn Treebank's rules, lower case, punctuation dropped.

Captioning's metrics tokenise with Stanford's PTBTokenizer, which needs Java. The rules below
give the same words on captions: clitics are words of their own ("man 's", "do n't"),
hyphenated words and numbers stay whole.
"""

import re

_PUNCTUATION = re.compile(r"^(?:[.?!,:;`'\"()\[\]{}]+|-+|-[lr][rcs]b-)$")
_TOKEN = re.compile(
    r"""
      [a-z](?:\.[a-z])+\.?                          # u.s.  a.m.
    | (?:mr|mrs|ms|dr|st|rd|vs|jr|sr|etc)\.         # abbreviations keep their dot,
    | \w+\.(?=,)                                    # and so does what a comma shows to be one
    | o'\w+                                         # o'clock
    | \$?\d+(?:[.,:/]\d+)*(?:st|nd|rd|th|s)?(?:-[\w'&]+)*   # 12  1,000  10:30  3/4  2nd  2-story
    | can(?=not\b)                                   # can not
    | [^\W\d_]+?(?=n't\b)                            # do n't
    | n't\b
    | '(?:s|m|d|ll|re|ve)\b                          # clitics
    | \#(?=\d)
    | [\w&@\#+*]+(?:[-/_.&]+[\w&@\#+*]+)*           # words, hyphenated ones whole
    | \S
    """,
    re.VERBOSE,
)


def tokenize(sentence):
    """`"A man's dog doesn't bark."` to `["a", "man", "'s", "dog", "does", "n't", "bark"]`."""
    sentence = sentence.lower().replace("\u2019", "'").replace("\u2018", "'")
    return [token for token in _TOKEN.findall(sentence) if not _PUNCTUATION.match(token)]
