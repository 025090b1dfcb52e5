package sat.edge

/** Something handed in cannot be used. The message is one line that says what to do. */
class InputError(message: String, cause: Throwable? = null) :
    IllegalArgumentException(message, cause)
