"""A file or folder that one process at a time works on."""

import fcntl


def may_hold(descriptor: int, /, *, shared: bool = False) -> bool:
    """Hold it for as long as it is open; whether nobody else does. `shared`: but others may who share it too.

    True on a file system that has no locks.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
