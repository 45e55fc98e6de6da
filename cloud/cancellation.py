"""What a loop that never ends must know about its end."""

import asyncio

__all__ = ["heed_cancellation"]


def heed_cancellation() -> None:
    """Raise CancelledError where the running task was cancelled and has not noticed.

    Before Python 3.13 a TaskGroup whose child fails while the group is being cancelled raises the child's error alone.
    A loop that retries after errors calls this before it tries again, or it could not be stopped.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
