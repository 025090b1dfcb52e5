"""The `sat-keras` command, one file per verb.

The result goes to standard output, everything else to standard error. A verb's file has
`add_options(parser)`, `run(options)`, which returns the result, a dict, and the exit status, and
perhaps `check(options)`: what can be checked without TensorFlow is checked before it is loaded. The
file's docstring is the verb's help.
"""

from sat_keras.cli.main import main

__all__ = ["main"]
