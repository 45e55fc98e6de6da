"""WeCom's application API and two SMS vendors on a loopback port: each checks what the real one documents.

The signatures are worked out here from the vendors' descriptions, with the standard library and without the product's code.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from cloud_notify_world import SECRET

KEY_ID = "LTAI5tExample"


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class SmsVendors:
    """What was asked of them; `silent` swallows that many answers after the message was taken."""

    url: str = ""
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    silent: int = 0
    deaf: int = 0

    async def aliyun(self, request: web.Request) -> web.StreamResponse:
        """ACS3: canonical request over the raw query, then HMAC with the secret."""
        body = await request.read()
        signed = request.headers["Authorization"].split("SignedHeaders=")[1].split(",")[0]
        lines = "".join(f"{name}:{request.headers[name]}\n" for name in signed.split(";"))
        query = request.rel_url.raw_query_string
        canonical = f"POST\n/\n{query}\n{lines}\n{signed}\n{_hex(body)}"
        wanted = hmac.digest(SECRET.encode(), f"ACS3-HMAC-SHA256\n{_hex(canonical.encode())}".encode(), "sha256").hex()
        if f"Credential={KEY_ID},SignedHeaders={signed},Signature={wanted}" not in request.headers["Authorization"]:
            return web.json_response({"Code": "SignatureDoesNotMatch", "Message": "no"}, status=400)
        age_s = abs((datetime.now(UTC) - datetime.fromisoformat(request.headers["x-acs-date"])).total_seconds())
        if age_s > 900 or list(request.query) != sorted(request.query):
            return web.json_response({"Code": "InvalidTimeStamp.Expired", "Message": "old"}, status=400)
        if request.headers["x-acs-action"] == "QuerySendDetails":
            self.asked.append(request.query["SendDate"])
            mine = [one["OutId"] for _, one in self.sent if one["PhoneNumbers"] == request.query["PhoneNumber"]]
            records = [{"OutId": key, "SendStatus": 1} for key in mine]
            details = {"SmsSendDetailDTO": records}
            return web.json_response({"Code": "OK", "TotalCount": len(records), "SmsSendDetailDTOs": details})
        return await self._sent("aliyun", dict(request.query), {"Code": "OK", "Message": "OK", "BizId": "900619746936498440^0"})

    async def tencent(self, request: web.Request) -> web.StreamResponse:
        """TC3: a key of the day and the service, over a canonical request of its own."""
        body, stamp = await request.read(), request.headers["X-TC-Timestamp"]
        signed = request.headers["Authorization"].split("SignedHeaders=")[1].split(",")[0]
        lines = "".join(f"{name}:{request.headers[name].lower()}\n" for name in signed.split(";"))
        canonical = f"POST\n/\n\n{lines}\n{signed}\n{_hex(body)}"
        date = datetime.fromtimestamp(int(stamp), UTC).strftime("%Y-%m-%d")
        text = f"TC3-HMAC-SHA256\n{stamp}\n{date}/sms/tc3_request\n{_hex(canonical.encode())}"
        key = ("TC3" + SECRET).encode()
        for part in (date, "sms", "tc3_request", text):
            key = hmac.digest(key, part.encode(), "sha256")
        if not request.headers["Authorization"].endswith(f"Signature={key.hex()}"):
            error = {"Code": "AuthFailure.SignatureFailure", "Message": "no"}
            return web.json_response({"Response": {"Error": error, "RequestId": "r"}})
        document = json.loads(body)
        if request.headers["X-TC-Action"] == "PullSmsSendStatusByPhoneNumber":
            self.asked.append(document["PhoneNumber"])
            records = [{"SessionContext": one["SessionContext"], "ReportStatus": "SUCCESS"} for _, one in self.sent]
            return web.json_response({"Response": {"PullSmsSendStatusSet": records, "RequestId": "r"}})
        status = {"SerialNo": "5000:1045710669157053657849499619", "Code": "Ok", "SessionContext": document["SessionContext"]}
        return await self._sent("tencent", document, {"Response": {"SendStatusSet": [status], "RequestId": "r"}})

    async def token(self, request: web.Request) -> web.Response:
        """A token for the right secret."""
        if (request.query["corpid"], request.query["corpsecret"]) != ("ww1", SECRET):
            return web.json_response({"errcode": 40001, "errmsg": "invalid credential"})
        self.tokens.append(f"token-{len(self.tokens)}/+")
        return web.json_response({"errcode": 0, "errmsg": "ok", "access_token": self.tokens[-1], "expires_in": 7200})

    async def member(self, request: web.Request) -> web.StreamResponse:
        """The newest token alone is good."""
        document = json.loads(await request.read())
        if request.query["access_token"] != self.tokens[-1]:
            return web.json_response({"errcode": 42001, "errmsg": f"access_token expired {request.query['access_token']}"})
        if document["touser"] != "zhang":
            return web.json_response({"errcode": 0, "errmsg": "ok", "invaliduser": document["touser"]})
        same = any(one["text"] == document["text"] and one["enable_duplicate_check"] for _, one in self.sent)
        if same:
            return web.json_response({"errcode": 0, "errmsg": "ok", "msgid": "same"})
        return await self._sent("wecom_app", document, {"errcode": 0, "errmsg": "ok", "invaliduser": "", "msgid": "m1"})

    async def _sent(self, vendor: str, document: dict[str, Any], answer: dict[str, Any]) -> web.Response:
        if self.answers:
            return web.json_response(self.answers.pop(0))
        if self.deaf:
            self.deaf -= 1
            await asyncio.sleep(30)
        self.sent.append((vendor, document))
        if self.silent:
            self.silent -= 1
            await asyncio.sleep(30)
        return web.json_response(answer)


@contextlib.asynccontextmanager
async def sms_vendors() -> AsyncIterator[SmsVendors]:
    """Aliyun answers at /, Tencent and WeCom by their own paths."""
    made = SmsVendors()
    app = web.Application()

    async def root(request: web.Request) -> web.StreamResponse:
        return await (made.tencent(request) if "X-TC-Action" in request.headers else made.aliyun(request))

    app.router.add_post("/", root)
    app.router.add_get("/cgi-bin/gettoken", made.token)
    app.router.add_post("/cgi-bin/message/send", made.member)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()
