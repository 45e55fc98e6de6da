"""A bucket of InfluxDB 2.x and the mapping by which `/query` and `/write` find it: once at the start, by the vendor's client.

InfluxQL names a database and a retention policy; 2.x has buckets. A "virtual" mapping serves a bucket by its own name; any
other name needs one of its own (docs.influxdata.com, "Manage DBRP mappings"). What is there already is left as it is.
"""

import asyncio
import logging
from typing import Any, Final

from cloud.series.influx_address import InfluxAddress, authorization
from cloud.series.store import StoreUnavailable

__all__ = ["set_up"]

_log = logging.getLogger(__name__)
_TIMEOUT_MS: Final = 10_000
_POLICY: Final = "autogen"


async def set_up(address: InfluxAddress) -> None:
    """See to the bucket and its mapping. StoreUnavailable says what is missing; the work is done in a thread."""
    if not address.org:
        raise StoreUnavailable("influxdb 2.x: the address names no organisation; want &org=NAME in it")
    token = authorization(address)["Authorization"].removeprefix("Token ")
    await asyncio.to_thread(_set_up, address, token)


def _set_up(address: InfluxAddress, token: str) -> None:
    from influxdb_client import InfluxDBClient  # noqa: PLC0415 - half a second of imports that only 2.x needs
    from influxdb_client.client.exceptions import InfluxDBError  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    client = InfluxDBClient(address.url, token=token, org=address.org, timeout=_TIMEOUT_MS)
    try:
        bucket = _bucket(client, address)
        _map(client, address, bucket.id)
    except InfluxDBError as error:
        raise StoreUnavailable(f"influxdb 2.x: cannot see to bucket {address.bucket_name}: {_words(error)}") from None
    except ValueError as error:  # the client's, of an answer that is not what it was promised
        raise StoreUnavailable(f"influxdb 2.x: answers what its client cannot read: {error}") from None
    except HTTPError as error:
        raise StoreUnavailable(f"influxdb: {error.__class__.__name__}") from None
    finally:
        client.close()


def _bucket(client: Any, address: InfluxAddress) -> Any:
    buckets = client.buckets_api()
    found = _found(buckets, address)
    if found is not None:
        return found
    _log.info("influxdb: makes bucket %s", address.bucket_name, extra={"event": "series.influx_bucket_made"})
    return buckets.create_bucket(bucket_name=address.bucket_name, org=address.org)


def _found(buckets: Any, address: InfluxAddress) -> Any:
    """The bucket, None where there is none: some versions answer that with an empty list, others with 404."""
    from influxdb_client.client.exceptions import InfluxDBError  # noqa: PLC0415

    try:
        found = buckets.find_buckets(name=address.bucket_name, org=address.org).buckets or []
    except InfluxDBError as error:
        if getattr(error, "status", None) == 404:
            return None
        raise
    return next((bucket for bucket in found if bucket.name == address.bucket_name), None)


def _map(client: Any, address: InfluxAddress, bucket: str) -> None:
    """Map the database to the bucket where nothing does; never away from another bucket, which somebody may read."""
    from influxdb_client import DBRPCreate, DBRPsService  # noqa: PLC0415

    mappings = DBRPsService(client.api_client)
    content = mappings.get_dbr_ps(org=address.org, db=address.database).content or []
    ours = [mapping for mapping in content if mapping.default]
    if any(mapping.bucket_id == bucket for mapping in ours):
        return
    if ours and not all(getattr(mapping, "virtual", False) for mapping in ours):
        raise StoreUnavailable(
            f"influxdb 2.x: database {address.database} is mapped to another bucket ({ours[0].bucket_id}); want another database"
        )
    wanted = DBRPCreate(org=address.org, bucket_id=bucket, database=address.database, retention_policy=_POLICY, default=True)
    mappings.post_dbrp(dbrp_create=wanted)
    _log.info(
        "influxdb: maps database %s to bucket %s", address.database, address.bucket_name, extra={"event": "series.influx_mapped"}
    )


def _words(error: Any) -> str:
    """The server's own; the client's text would show request headers as well."""
    status, told = getattr(error, "status", None), getattr(error, "message", None)
    return f"{status}: {told}" if status else str(told)
