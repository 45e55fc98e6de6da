"""A device's bootloader in memory: two slots, a trial boot, and a counter that only grows.

The confirmed image is never written to. A new one goes into the other slot, is checked against its signed header, is
booted on trial at most three times, and becomes the confirmed one by a single record that it asks for itself. Until then
every boot can go back. The counter moves with that record: an image that is not above it is neither taken nor booted.
"""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec.structs import replace

from firmware_bridge.errors import ParseError
from firmware_bridge.update.manifest import HEADER_BYTES, Manifest, check_image
from firmware_bridge.update.package import Package, check_header
from firmware_bridge.update.standing import Own, Phase, Refusal, Standing, judge
from simulators.devices.firmware.flash import BootRecord, Flash
from telemetry.reason import Reason

__all__ = ["Bootloader"]

_TRIALS = 3


class Bootloader:
    """One device. `running` is the manifest of the image that runs. PowerCutError leaves any call where the flash's power
    fails; `boot` is then what happens next. `broken` holds versions that run without ever doing their work."""

    def __init__(self, key: Ed25519PublicKey, factory: Package, room_bytes: int) -> None:
        self.flash = Flash(HEADER_BYTES + room_bytes)
        self.broken: set[int] = set()
        self._key = key
        self._room_bytes = room_bytes
        self._checked: dict[bytes, Manifest | None] = {}
        self.flash.write(0, 0, factory.whole)
        self.flash.note(BootRecord(counter=factory.manifest.version))
        self.running = self.boot()

    def boot(self) -> Manifest:
        """Come up from whatever the flash holds; the manifest of the image that runs now."""
        record = self.flash.record()
        slot = record.active
        if record.phase is Phase.TRIAL:
            slot = self._on_trial(record)
        image = self._sound(slot)
        if image is None:
            raise RuntimeError(f"slot {slot} holds no image that may run")  # a brick: no test may ever see it
        self.running = image
        if slot != record.active and image.version in self.broken:
            return self.boot()  # its watchdog bites
        return image

    def _on_trial(self, record: BootRecord) -> int:
        """The slot to boot while an image is on trial: its own, counted first, or the old one when its trials are used up."""
        candidate = self._sound(1 - record.active)
        if record.trials < _TRIALS and candidate is not None and candidate.version > record.counter:
            self._note(trials=record.trials + 1)
            return 1 - record.active
        self._note(phase=Phase.REFUSED, refusal=Refusal.NOT_CONFIRMED)
        return record.active

    def standing(self) -> Standing:
        """Where the device stands, as it tells whoever asks."""
        record = self.flash.record()
        spare = self._header(1 - record.active)
        shown = self.running if record.phase is Phase.EMPTY else spare
        return Standing(
            phase=record.phase,
            running=self.running.version,
            offered=0 if record.phase is Phase.EMPTY or spare is None else spare.version,
            next_chunk=record.next_chunk if record.phase is Phase.RECEIVING else 0,
            refusal=record.refusal,
            digest=bytes(4) if shown is None else shown.sha256[:4],
        )

    def offered(self) -> Manifest | None:
        """What the spare slot is for, None where it holds nothing that was signed for this device."""
        record = self.flash.record()
        return None if record.phase is Phase.EMPTY else self._header(1 - record.active)

    def offer(self, header: bytes) -> Standing:
        """Take a header, or say why not; what was in the spare slot is forgotten. An image on trial is left alone."""
        record = self.flash.record()
        if record.phase is Phase.TRIAL:
            return self.standing()
        self._note(phase=Phase.EMPTY, refusal=Refusal.NONE, next_chunk=0)
        self.flash.write(1 - record.active, 0, header[:HEADER_BYTES].ljust(HEADER_BYTES, b"\xff"))
        refusal = self._judged(header, record.counter)
        if refusal is Refusal.NONE:
            self._note(phase=Phase.RECEIVING, next_chunk=0, trials=0)
        else:
            self._note(phase=Phase.REFUSED, refusal=refusal)
        return self.standing()

    def store(self, number: int, data: bytes) -> Standing:
        """Keep chunk `number` where it is the next one and whole; anything else changes nothing."""
        record = self.flash.record()
        manifest = self._header(1 - record.active)
        if record.phase is not Phase.RECEIVING or manifest is None or number != record.next_chunk:
            return self.standing()
        at = number * manifest.chunk_bytes
        if number >= manifest.chunks or len(data) != min(manifest.chunk_bytes, manifest.size - at):
            return self.standing()
        self.flash.write(1 - record.active, HEADER_BYTES + at, data)
        self._note(next_chunk=number + 1)
        return self.standing()

    def verify(self) -> Standing:
        """Check the whole image against its header."""
        record = self.flash.record()
        manifest = self._header(1 - record.active)
        if record.phase is Phase.RECEIVING and manifest is not None and record.next_chunk == manifest.chunks:
            sound = self._sound(1 - record.active) is not None
            self._note(phase=Phase.VERIFIED if sound else Phase.REFUSED, refusal=Refusal.NONE if sound else Refusal.BAD_IMAGE)
        return self.standing()

    def start(self) -> Standing:
        """Boot a checked image on trial."""
        if self.flash.record().phase is Phase.VERIFIED:
            self._note(phase=Phase.TRIAL, trials=0)
            self.boot()
        return self.standing()

    def confirm(self) -> Standing:
        """The image on trial keeps its place: one record makes it the confirmed one and moves the counter."""
        record = self.flash.record()
        if record.phase is Phase.TRIAL and self.running == self._header(1 - record.active):
            self._note(phase=Phase.EMPTY, active=1 - record.active, counter=self.running.version, trials=0, next_chunk=0)
        return self.standing()

    def revert(self) -> Standing:
        """Go back to the confirmed image, or forget what was received so far."""
        if self.flash.record().phase is Phase.TRIAL:
            self._note(phase=Phase.REFUSED, refusal=Refusal.NOT_CONFIRMED)
            self.boot()
        else:
            self._note(phase=Phase.EMPTY, refusal=Refusal.NONE, next_chunk=0)
        return self.standing()

    def _judged(self, header: bytes, counter: int) -> Refusal:
        try:
            manifest = check_header(header, self._key)
        except ParseError as error:
            return Refusal.BAD_SIGNATURE if error.reason is Reason.NOT_AUTHENTICATED else Refusal.BAD_MANIFEST
        own = Own(
            model=self.running.model,
            hardware=self.running.hardware,
            version=max(counter, self.running.version),
            room_bytes=self._room_bytes,
        )
        return judge(manifest, own)

    def _header(self, slot: int) -> Manifest | None:
        header = bytes(self.flash.slots[slot][:HEADER_BYTES])
        if header not in self._checked:
            self._checked = dict(list(self._checked.items())[-1:])  # one header a slot: a signature takes its time
            self._checked[header] = self._signed(header)
        return self._checked[header]

    def _signed(self, header: bytes) -> Manifest | None:
        try:
            return check_header(header, self._key)
        except ParseError:
            return None  # no header, or half of one: the slot holds nothing

    def _sound(self, slot: int) -> Manifest | None:
        """The manifest of a slot whose signature and image are right, None for any other."""
        manifest = self._header(slot)
        if manifest is None:
            return None
        try:
            check_image(manifest, bytes(self.flash.slots[slot][HEADER_BYTES : HEADER_BYTES + manifest.size]))
        except ParseError:
            return None
        return manifest

    def _note(self, **changes: object) -> None:
        """Write the boot record with what has changed."""
        self.flash.note(replace(self.flash.record(), **changes))
