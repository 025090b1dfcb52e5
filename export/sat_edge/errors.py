class InputError(ValueError):
    """Something handed in cannot be used. The message is one line that says what to do."""
