"""The `sat-keras` command, one file per verb.

The result goes to standard output, everything else to standard error. A verb's file has
`add_options(parser)`, and `run(options)`, which returns the result, a dict, and the exit status. It
may have `check(options)`: what can be checked without TensorFlow is checked before it is loaded;
and `needs_tensorflow(options)`: otherwise it is loaded. The file's docstring is the verb's help.
"""

from sat_keras.cli.main import main

__all__ = ["main"]
