/** Something handed in cannot be used. The message says what to do, in one line. */
export class InputError extends Error {}
