"""The errors a user is shown."""


class EngineError(Exception):
    """What is wrong, where, and what to do about it, in one sentence a user can act on."""
