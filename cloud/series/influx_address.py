"""Where an InfluxDB is and as whom one comes to it. No password or token is ever in an address, a log or an error."""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from cloud.series.store import StoreUnavailable

__all__ = ["InfluxAddress", "authorization", "parse_address", "rest_s", "unavailable"]

_LONGEST_REST_S = 60.0
_OPTIONS = ("username", "password_file", "token_file", "org", "bucket")


class InfluxAddress(msgspec.Struct, frozen=True, kw_only=True):
    """`token_file` wins over name and password; `org` and `bucket` are words of 2.x.

    `bucket` holds what `database` names; where it is empty, both have the same name.
    """

    url: str
    database: str
    username: str = ""
    password_file: Path | None = None
    token_file: Path | None = None
    org: str = ""
    bucket: str = ""

    @property
    def bucket_name(self) -> str:
        """The bucket of 2.x, or the database of 3.x, that is written to."""
        return self.bucket or self.database


def parse_address(text: str, *, default: str | None = None) -> InfluxAddress:
    """`http://host:port/db?username=..&password_file=..&token_file=..&org=..&bucket=..`; ValueError says what is wrong.

    What an error says holds nothing that could be a secret. `default` is the database of an address that names none.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("series: no address: want influx:http://host:port/database") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("series: a name or password before the host: want ?username=..&password_file=.. at the end")
    shown = f"{parts.scheme}://{host or ''}{f':{port}' if port else ''}{parts.path}"
    database = unquote(parts.path.strip("/")) or default
    if parts.scheme not in {"http", "https"} or not host or database is None or "/" in database:
        raise ValueError(f"series {shown!r}: want influx:http://host:port/database")
    options = dict(parse_qsl(parts.query))
    unknown = options.keys() - set(_OPTIONS)
    if unknown:
        raise ValueError(f"series option {', '.join(sorted(unknown))}: want {', '.join(_OPTIONS)}")
    return InfluxAddress(
        url=f"{parts.scheme}://{parts.netloc}",
        database=database,
        username=options.get("username", ""),
        password_file=Path(options["password_file"]) if "password_file" in options else None,
        token_file=Path(options["token_file"]) if "token_file" in options else None,
        org=options.get("org", ""),
        bucket=options.get("bucket", ""),
    )


def authorization(address: InfluxAddress) -> dict[str, str]:
    """The header that 1.x (basic), 2.x and 3.x (token) take; none where the address names nobody."""
    try:
        if address.token_file is not None:
            return {"Authorization": f"Token {address.token_file.read_text(encoding='utf-8').strip()}"}
        if address.username:
            password = address.password_file.read_text(encoding="utf-8").strip() if address.password_file else ""
            return {"Authorization": "Basic " + b64encode(f"{address.username}:{password}".encode()).decode()}
    except OSError as error:
        raise StoreUnavailable(f"influxdb: cannot read {error.filename}: {error.strerror}") from error
    return {}


def rest_s(headers: Mapping[str, str]) -> float:
    """What the server asks for in whole seconds; a date, which the standard allows as well, is not waited for."""
    asked = headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_REST_S) if asked.isdecimal() else 0.0


def unavailable(error: Exception) -> StoreUnavailable:
    """What became of a connection, as the store's own word."""
    return StoreUnavailable(f"influxdb: {error.__class__.__name__}: {error}")
