"""A serial line without hardware: a pty pair whose other end is opened by path, as a real /dev/ttyS* is."""

import asyncio
import errno
import os
import tty

__all__ = ["PtyLine"]

_READ = 4096


class PtyLine:
    """The devices' end of a serial line. `path` is what the agent opens; bytes nobody reads are dropped and counted.

    The far end is held open here too, so that an agent which closes and reopens the line does not end it.
    """

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue(maxsize=256)
        self._open = False
        self.dropped_bytes = 0

    def start(self) -> None:
        """Begin to listen on the running loop."""
        asyncio.get_running_loop().add_reader(self._master, self._hear)
        self._open = True

    def close(self) -> None:
        """Unplug: both ends are closed. Calling it twice does no harm."""
        if self._open:
            asyncio.get_running_loop().remove_reader(self._master)
            self._open = False
        for handle in (self._master, self._slave):
            if handle >= 0:
                os.close(handle)
        self._master = self._slave = -1

    async def read(self) -> bytes:
        """The next bytes that the agent sent."""
        return await self._inbox.get()

    def write(self, data: bytes) -> bool:
        """Put bytes on the line; False where some were lost: nobody reads and the buffer is full, or it is unplugged."""
        try:
            sent = os.write(self._master, data) if self._master >= 0 else 0
        except BlockingIOError:
            sent = 0
        self.dropped_bytes += len(data) - sent
        return sent == len(data)

    def _hear(self) -> None:
        try:
            data = os.read(self._master, _READ)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EIO}:
                return
            raise
        try:
            self._inbox.put_nowait(data)
        except asyncio.QueueFull:
            self.dropped_bytes += len(data)
