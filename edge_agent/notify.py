"""What systemd is told, where it asks to be told (Type=notify, WatchdogSec): see sd_notify(3)."""

import asyncio
import os
import socket

__all__ = ["notify", "watchdog"]


def notify(state: str) -> bool:
    """Send one line to the service manager; False where there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    # A leading @ is the abstract namespace, written with a zero byte.
    address = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(0)
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return False
    return True


async def watchdog() -> None:
    """Tell the watchdog, twice in its period, that the event loop turns; returns where there is no watchdog."""
    period_us = os.environ.get("WATCHDOG_USEC", "")
    if not period_us.isdecimal() or not notify("WATCHDOG=1"):
        return
    while True:
        await asyncio.sleep(int(period_us) / 2_000_000)
        notify("WATCHDOG=1")
