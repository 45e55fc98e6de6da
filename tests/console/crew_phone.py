"""A crew's phone in a test: where it is, a photo as its camera makes it, and what its holder does again and again."""

import base64
import struct

from playwright.sync_api import Locator, Page, expect

__all__ = [
    "EXIF",
    "HERE",
    "PHONE",
    "camera_photo",
    "finish",
    "open_task",
    "outbox",
    "quiet",
    "sent_all",
    "size_of",
    "take_photo",
]

HERE = {"longitude": 113.3001, "latitude": 23.1001}
PHONE = {"width": 390, "height": 844}
_QUIET = ("Failed to load resource", "net::ERR_")
EXIF = b"Exif\x00\x00GPS 23.1 N 113.3 E"


def quiet(message: str) -> bool:
    """Whether a browser's error is the one of a line that was cut on purpose."""
    return any(word in message for word in _QUIET)


def camera_photo(page: Page) -> bytes:
    """A JPEG of 1800 x 1350 as a camera makes it, with a note of where it was taken."""
    drawn = page.evaluate(
        """async () => {
          const canvas = document.createElement('canvas');
          [canvas.width, canvas.height] = [1800, 1350];
          const pen = canvas.getContext('2d');
          const noise = pen.createImageData(1800, 1350);
          let seed = 20;
          for (let i = 0; i < noise.data.length; i++) {
            seed = (seed * 1103515245 + 12345) & 0x7fffffff;
            noise.data[i] = i % 4 === 3 ? 255 : (seed >> 16) & 255;
          }
          pen.putImageData(noise, 0, 0);
          return canvas.toDataURL('image/jpeg', 0.7).split(',')[1];
        }"""
    )
    plain = base64.b64decode(drawn)
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(EXIF) + 2) + EXIF + plain[2:]


def size_of(jpeg: bytes) -> tuple[int, int]:
    """Width and height, from the frame header (ISO/IEC 10918-1, B.2.2)."""
    at = 2
    while jpeg[at + 1] not in {0xC0, 0xC1, 0xC2}:
        at += 2 + struct.unpack_from(">H", jpeg, at + 2)[0]
    height, width = struct.unpack_from(">HH", jpeg, at + 5)
    return width, height


def open_task(page: Page, number: int = 12) -> None:
    page.get_by_test_id("tasks").get_by_text(f"（{number}）").click()
    expect(page.get_by_test_id("task")).to_be_visible()


def take_photo(page: Page, when: str, data: bytes) -> None:
    place = page.get_by_test_id(f"photos-{when}")
    place.locator("input[type=file]").set_input_files({"name": "x.jpg", "mimeType": "image/jpeg", "buffer": data})
    expect(place.locator("img")).to_have_count(1)


def finish(page: Page, photo: bytes) -> None:
    """Everything between arriving and "done", and the button itself."""
    take_photo(page, "after", photo)
    for box in page.get_by_test_id("checks").get_by_role("checkbox").all():
        box.check()
    page.get_by_label("处置结果").fill("井盖已复位")
    page.get_by_role("button", name="提交完成").click()
    expect(page.get_by_label("处置结果")).to_have_count(0)


def outbox(page: Page) -> Locator:
    page.get_by_test_id("outbox-link").click()
    return page.get_by_test_id("outbox").locator("> li")


def sent_all(page: Page) -> None:
    expect(page.get_by_test_id("outbox-link")).to_have_text("待发箱 0")
