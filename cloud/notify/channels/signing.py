"""How requests to Aliyun and Tencent Cloud are signed.

Aliyun, "request syntax and signature method V3": the example that the vendor publishes is a test of this module.
Tencent Cloud, "signature method v3": written from its description, tested against openssl. Neither was tried against
the vendor's own servers.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

__all__ = ["acs3_authorization", "canonical_query", "iso_second", "tc3_authorization"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def acs3_authorization(key_id: str, secret: str, query: str, headers: Mapping[str, str], body: bytes) -> str:
    """The Authorization header of a POST to "/" with the canonical `query`.

    `headers` are lower-case and all signed: host, x-acs-action, x-acs-content-sha256, x-acs-date,
    x-acs-signature-nonce, x-acs-version.
    """
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    canonical = "\n".join(("POST", "/", query, lines, names, _sha256(body)))
    signature = hmac.new(secret.encode(), f"ACS3-HMAC-SHA256\n{_sha256(canonical.encode())}".encode(), hashlib.sha256)
    return f"ACS3-HMAC-SHA256 Credential={key_id},SignedHeaders={names},Signature={signature.hexdigest()}"


def tc3_authorization(key: tuple[str, str], service: str, headers: Mapping[str, str], timestamp_s: int, body: bytes) -> str:
    """The Authorization header of a POST to "/" without a query; `key` is (SecretId, SecretKey).

    `headers` are lower-case and all signed: content-type, host and, where wanted, x-tc-action (whose value counts in
    lower case).
    """
    key_id, secret = key
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name].strip().lower()}\n" for name in sorted(headers))
    canonical = "\n".join(("POST", "/", "", lines, names, _sha256(body)))
    date = f"{_EPOCH + timedelta(seconds=timestamp_s):%Y-%m-%d}"
    scope = f"{date}/{service}/tc3_request"
    signed = "\n".join(("TC3-HMAC-SHA256", str(timestamp_s), scope, _sha256(canonical.encode())))
    derived = f"TC3{secret}".encode()
    for part in (date, service, "tc3_request"):
        derived = hmac.digest(derived, part.encode(), "sha256")
    signature = hmac.new(derived, signed.encode(), hashlib.sha256).hexdigest()
    return f"TC3-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"


def canonical_query(values: Mapping[str, str]) -> str:
    """Sorted, and quoted by RFC 3986: a blank is %20, an asterisk %2A, a tilde itself."""
    return "&".join(f"{quote(name, safe='~')}={quote(values[name], safe='~')}" for name in sorted(values))


def iso_second(time_ns: int) -> str:
    """2026-11-20T14:00:00Z."""
    return f"{_EPOCH + timedelta(seconds=time_ns // 1_000_000_000):%Y-%m-%dT%H:%M:%SZ}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
