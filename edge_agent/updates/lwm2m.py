"""Updates of LwM2M devices by object 5, push: write the package, execute the update, read state and result.

Source: OMA LwM2M 1.0.2, appendix E.6. The client checks the package as it comes (state 2 says that it is whole), tries it
and confirms itself when its registration is taken again; the header's version stands behind the release of /5/0/7 and /3/0/3.
A cut begins the write anew: CoAP's block-wise transfer has no middle to start from.
"""

from typing import Protocol

from firmware_bridge.update.package import Package
from firmware_bridge.update.standing import Phase, Refusal, Standing

__all__ = ["ResourceAccess", "ResourcesUpdate"]

_PACKAGE, _UPDATE, _STATE, _RESULT = "/5/0/0", "/5/0/2", "/5/0/3", "/5/0/5"
_NAME, _RUNNING = "/5/0/7", "/3/0/3"
_IDLE, _DOWNLOADING, _DOWNLOADED = 0, 1, 2
_SUCCESS = 1
_REFUSALS = {
    2: Refusal.TOO_LARGE,
    3: Refusal.TOO_LARGE,
    5: Refusal.BAD_IMAGE,
    6: Refusal.BAD_MANIFEST,
    10: Refusal.CANCELLED,
}


class ResourceAccess(Protocol):
    """The resources of one registered client. All calls raise SilentError where no answer comes, or an error for one."""

    async def read(self, path: str) -> int | str: ...

    async def write(self, path: str, data: bytes) -> None: ...

    async def execute(self, path: str) -> None: ...


class ResourcesUpdate:
    """One client. What a session before this one left in it is told apart by the release's name."""

    def __init__(self, resources: ResourceAccess, package: Package) -> None:
        self.package = package
        self._resources = resources
        self._offered = False

    async def ask(self) -> Standing:
        manifest = self.package.manifest
        state = await self._resources.read(_STATE)
        if state == _IDLE:
            return await self._idle()
        if state == _DOWNLOADED:
            ours = await self._resources.read(_NAME) == manifest.release
            return Standing(phase=Phase.VERIFIED, running=0, offered=manifest.version if ours else 0)
        # 1: a write that was cut, ours or that of a session before; 3: it is updating.
        return Standing(phase=Phase.RECEIVING if state == _DOWNLOADING else Phase.BUSY, running=0)

    async def _idle(self) -> Standing:
        manifest = self.package.manifest
        if await self._resources.read(_RUNNING) == manifest.release:
            return Standing(phase=Phase.EMPTY, running=manifest.version)
        result = await self._resources.read(_RESULT)
        if self._offered and isinstance(result, int) and result > _SUCCESS:
            refusal = _REFUSALS.get(result, Refusal.UNTOLD)
            return Standing(phase=Phase.REFUSED, running=0, offered=manifest.version, refusal=refusal)
        return Standing(phase=Phase.EMPTY, running=0)

    async def offer(self) -> Standing:
        """Set the object back; the header goes with the image."""
        await self._resources.write(_PACKAGE, b"\0")
        self._offered = True
        return Standing(phase=Phase.RECEIVING, running=0, offered=self.package.manifest.version)

    async def send(self, chunk: int) -> Standing:
        del chunk  # always the whole
        await self._resources.write(_PACKAGE, self.package.whole)
        return await self.ask()

    async def verify(self) -> Standing:
        return await self.ask()

    async def start(self) -> Standing:
        await self._resources.execute(_UPDATE)
        return await self.ask()

    async def confirm(self) -> Standing:
        return await self.ask()

    async def revert(self) -> Standing:
        """Set the object back; a client that runs the new image already keeps it, for LwM2M has no word against that."""
        await self._resources.write(_PACKAGE, b"\0")
        return await self.ask()
