"""The one error of this package."""


class DevcloudError(Exception):
    """A failure the user can act on: the message is one line that says what to do, and names a log if there is one."""
