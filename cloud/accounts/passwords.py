"""Passwords: which are taken, and how they are kept.

Kept as argon2id (RFC 9106; 64 MiB and three passes are its second recommended choice, for machines with little memory), in
one lane, so that one login takes one core: some 0.2 s of it, on purpose. It runs in threads of its own, as many at once as
half of the cores: a flood of logins takes no more of them, 64 MiB for each, and the loop never waits.
"""

import asyncio
import base64
import os
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Final, TypeVar

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from cloud.accounts.errors import AccountError
from telemetry.reason import Reason

__all__ = ["LEAST", "MOST", "Cost", "Hasher", "check_password"]

_T = TypeVar("_T")

LEAST: Final = 10
MOST: Final = 128
_FEWEST_DIFFERENT: Final = 5

# The first guesses of every tool that have ten characters or more; shorter ones are refused by their length.
_COMMON: Final = """
0123456789 1234567890 0987654321 9876543210 1234567891 12345678910 1q2w3e4r5t 1qaz2wsx3edc q1w2e3r4t5 qwertyuiop
qwerty12345 qwerty123456 qazwsxedc123 asdfghjkl123 abcdefghij abcd123456 abc1234567 a123456789 aa12345678 asd123456789
password12 password123 password1234 passw0rd123 p@ssw0rd123 p@ssword123 admin12345 admin123456 administrator adminadmin
root123456 welcome123 welcome1234 changeme123 letmein1234 iloveyou123 woaini1314 woaini520520 woaini1314520 5201314520
1314520520 zhongguo123 beijing2008 citynerve1 citynerve12 citynerve123 chengguan123 shuzichengguan
"""


class Cost(msgspec.Struct, frozen=True):
    """What one hash costs; a stored one of another cost is made anew when its owner logs in."""

    passes: int = 3
    memory_kib: int = 65_536
    lanes: int = 1


def check_password(password: str, name: str, display: str = "") -> str | None:
    """Why `password` is not taken for the account of `name`, or None where it is."""
    plain = unicodedata.normalize("NFKC", password)
    if not LEAST <= len(plain) <= MOST:
        return f"a password of {len(plain)} characters: want {LEAST} to {MOST}"
    low = plain.casefold()
    if len(set(low)) < _FEWEST_DIFFERENT:
        return f"a password of fewer than {_FEWEST_DIFFERENT} different characters"
    if low in _COMMON.split():
        return "a password that is among the first to be guessed"
    if _letters(low) and _letters(low) in {_letters(name), _letters(display)}:
        return "a password that is the person's name"
    return None


class Hasher:
    """Makes and compares hashes, `at_once` of them at a time; beyond `most_waiting` it refuses (AccountError, QUEUE_FULL).

    Without `at_once` it is half of the machine's cores. `compared` counts the comparisons: it grows by one with every login,
    whoever it was of.
    """

    def __init__(self, cost: Cost | None = None, at_once: int = 0, most_waiting: int = 32) -> None:
        cost = cost or Cost()
        at_once = at_once or max(1, (os.cpu_count() or 2) // 2)
        self._argon2 = PasswordHasher(time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes)
        # Threads of its own, and no semaphore on the loop: whoever is cancelled leaves a thread, and its memory, behind.
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="argon2")
        self._places = BoundedSemaphore(at_once + most_waiting)
        self._decoy = _decoy(cost)
        self.compared = 0

    async def hash(self, password: str) -> str:
        """The hash with its parameters and salt, as text."""
        return await self._work(lambda: self._argon2.hash(_plain(password)))

    async def matches(self, hashed: str | None, password: str) -> bool:
        """Whether it is the password. None is an account that is not there: it takes as long, and is never right."""
        self.compared += 1
        return await self._work(lambda: self._verify(hashed or self._decoy, password))

    def outdated(self, hashed: str) -> bool:
        """Whether it was made at another cost than today's."""
        return self._argon2.check_needs_rehash(hashed)

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._argon2.verify(hashed, _plain(password))
        except VerifyMismatchError:
            return False

    async def _work(self, work: Callable[[], _T]) -> _T:
        if not self._places.acquire(blocking=False):
            raise AccountError(Reason.QUEUE_FULL, "too many log in at this moment; try again", wait_s=2)
        # The place is free when the thread is done, however early its asker leaves.
        done = self._threads.submit(work)
        done.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(done)


def _decoy(cost: Cost) -> str:
    """A hash that no password has, at the same cost as those that have one."""
    salt, mark = (base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
    return f"$argon2id$v=19$m={cost.memory_kib},t={cost.passes},p={cost.lanes}${salt}${mark}"


def _plain(password: str) -> bytes:
    # One form for what looks the same on every keyboard, as RFC 8265, 4.2 and NIST SP 800-63B want it.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


def _letters(word: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKC", word).casefold() if char.isalpha())
