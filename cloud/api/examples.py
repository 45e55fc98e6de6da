"""One of each, for the description of the API: a cover that was opened, and what came of it."""

from typing import Any

__all__ = [
    "ALARM",
    "AT",
    "CASE",
    "CASE_CLOCK",
    "CASE_MAY",
    "DEVICE",
    "GATEWAY",
    "LANE",
    "LATEST",
    "METRIC",
    "NOTICE",
    "PROFILE",
    "REFUSAL",
    "STEP",
    "SUPPRESSION",
    "TRANSITION",
    "WATCHED",
]

AT = "2026-11-20T14:00:00.123Z"

DEVICE: dict[str, Any] = {
    "id": "cover-17",
    "name": "中山路 3 号井",
    "kind": "manhole_cover",
    "profile": "cover_nbiot",
    "profile_version": 1,
    "gateway": "gw-1",
    "longitude": 113.2644,
    "latitude": 23.1291,
    "component_code": "4401030101000017",
    "state": "critical",
    "last_reading": AT,
    "age_s": 12.4,
    "open_alarms": 1,
    "open_cases": 1,
}

METRIC: dict[str, Any] = {
    "name": "tilt_deg",
    "unit": "deg",
    "type": "float",
    "title": {"zh": "倾角", "en": "Tilt"},
    "low": 0.0,
    "high": 180.0,
}

LATEST: dict[str, Any] = {
    "device": "cover-17",
    "metrics": [
        {
            "metric": "tilt_deg",
            "value": 41.5,
            "unit": "deg",
            "quality": "good",
            "reason": None,
            "time": AT,
            "age_s": 12.4,
            "title": {"zh": "倾角", "en": "Tilt"},
        }
    ],
}

ALARM: dict[str, Any] = {
    "id": "cover-17/cover_open/1763647200123000000",
    "device": "cover-17",
    "device_name": "中山路 3 号井",
    "rule": "cover_open",
    "title": {"zh": "井盖被打开", "en": "Cover opened"},
    "priority": "critical",
    "state": "unacknowledged",
    "shown": "unacknowledged",
    "suppression": [],
    "shelved_until": None,
    "uncertain": False,
    "raised": AT,
    "raises": 1,
    "age_s": 12.4,
    "returned": None,
    "acknowledged": None,
    "acknowledged_by": "",
    "case_id": 7,
    "evidence": {"tilt_deg": 41.5},
}

TRANSITION: dict[str, Any] = {
    "origin": "edge",
    "n": 1,
    "cause": "raise",
    "priority": "critical",
    "from_state": "normal",
    "to_state": "unacknowledged",
    "event_time": AT,
    "recorded": AT,
    "stored": AT,
    "actor": "gw-1",
    "note": "",
    "evidence": {"tilt_deg": 41.5},
}

SUPPRESSION: dict[str, Any] = {
    "id": "cover-17/cover_open",
    "device": "cover-17",
    "device_name": "中山路 3 号井",
    "rule": "cover_open",
    "title": {"zh": "井盖被打开", "en": "Cover opened"},
    "shown": "shelved",
    "suppression": ["shelved"],
    "changed": AT,
    "shelf": "timed",
    "shelved": AT,
    "shelved_until": "2026-11-20T16:00:00.000Z",
    "shelved_by": "li.wei",
    "shelf_reason": "sensor is being cleaned",
    "suppressed_by": [],
    "out": None,
    "review": None,
    "out_by": "",
    "out_reason": "",
}

CASE: dict[str, Any] = {
    "id": 7,
    "device": "cover-17",
    "device_name": "中山路 3 号井",
    "matter": "cover_displaced",
    "gbt_code": "0101",
    "department": "市政设施养护单位",
    "district": "east",
    "title": {"zh": "井盖缺失或移位", "en": "Manhole cover missing or displaced"},
    "priority": "critical",
    "source": "alarm",
    "description": "",
    "address": "",
    "state": "handling",
    "state_title": {"zh": "处置中", "en": "being handled"},
    "longitude": 113.2644,
    "latitude": 23.1291,
    "opened": AT,
    "age_s": 12.4,
    "due": "2026-11-20T16:00:00.123Z",
    "overdue": False,
    "closed": None,
    "assignee": "li.wei",
    "hold_until": None,
    "asked": "nothing",
    "returned": False,
    "reworks": 0,
    "version": 1,
}

STEP: dict[str, Any] = {
    "id": 1,
    "step": "report",
    "title": {"zh": "上报", "en": "report"},
    "from_state": "reported",
    "to_state": "reported",
    "actor": "system",
    "role": "system",
    "at": AT,
    "done": None,
    "note": "cover-17/cover_open/1",
    "reason": "",
    "standard": "",
    "until": None,
    "department": "",
    "assignee": "",
    "device_says": "nothing",
    "photos": [],
    "longitude": None,
    "latitude": None,
}

CASE_CLOCK: dict[str, Any] = {
    "clock": "handle",
    "title": {"zh": "处置", "en": "handling"},
    "state": "running",
    "kind": "urgent_hours",
    "started": AT,
    "limit_s": 7200.0,
    "deadline": "2026-11-20T16:00:00.123Z",
    "spent_s": 12.4,
    "left_s": 7187.6,
    "late": False,
    "remark": None,
}

CASE_MAY: dict[str, Any] = {
    "step": "take",
    "title": {"zh": "接单", "en": "take the task"},
    "roles": ["department", "crew"],
    "needs": [],
    "to": "handling",
}

WATCHED: dict[str, Any] = {
    "case": 7,
    "title": {"zh": "井盖缺失或移位", "en": "Manhole cover missing or displaced"},
    "device": "cover-17",
    "priority": "critical",
    "department": "市政设施养护单位",
    "district": "east",
    "assignee": "li.wei",
    "state": "handling",
    "state_title": {"zh": "处置中", "en": "being handled"},
    "standing": "warning",
    "standing_title": {"zh": "预警", "en": "due soon"},
    "clock": "handle",
    "clock_title": {"zh": "处置", "en": "handling"},
    "deadline": "2026-11-20T16:00:00.123Z",
    "limit_s": 7200.0,
    "left_s": 1187.6,
    "late": False,
}

NOTICE: dict[str, Any] = {
    "id": 1,
    "step": "opened",
    "channel": "crew",
    "target": "",
    "state": "sent",
    "attempts": 1,
    "failure": "",
    "vendor_code": "0",
    "detail": "",
    "created": AT,
    "sent": AT,
    "next_attempt": None,
    "receipt": "",
    "opened": None,
}

SUMS: dict[str, Any] = {
    "epoch": "e1",
    "lane": "readings",
    "watermark": 98,
    "next_seq": 103,
    "stored": 97,
    "quarantined": 1,
    "lost": 1,
    "moved": 0,
    "missing": 3,
    "balanced": True,
    "updated": AT,
}

LANE: dict[str, Any] = {**SUMS, "gaps": [{"first": 99, "last": 99}, {"first": 101, "last": 102}]}

_GAP: dict[str, Any] = {"reason": None, "at": None, "time_from": None, "time_to": None, "open_end": False, "detail": ""}

LEDGER_LANE: dict[str, Any] = {
    **SUMS,
    "gaps": [
        {**_GAP, "first": 101, "last": 102, "count": 2, "state": "awaited"},
        {**_GAP, "first": 99, "last": 99, "count": 1, "state": "awaited"},
        {
            **_GAP,
            "first": 40,
            "last": 40,
            "count": 1,
            "state": "lost",
            "reason": "outbox_full",
            "at": AT,
            "time_from": AT,
            "time_to": AT,
        },
    ],
    "more": False,
}

SECURITY: dict[str, Any] = {
    "reason": "rolled_back",
    "count": 1,
    "last_detail": "epoch e1: readings would go on at 40, and 98 of this epoch is here",
    "last": AT,
    "age_s": 3.0,
}

GATEWAY: dict[str, Any] = {
    "id": "gw-1",
    "online": True,
    "agent_version": "0.1.0",
    "epoch": "e1",
    "first_seen": AT,
    "last_seen": AT,
    "age_s": 0.4,
    "devices": 5,
    "backlog": {"readings": 3, "events": 0},
    "oldest": AT,
    "outbox_bytes": 40_960,
    "outbox_max_bytes": 536_870_912,
    "declared_lost": {"readings": 1},
    "clock": "synced",
    "clock_ahead_s": -0.012,
    "status": {"devices_heard": 5},
    "lanes": [LANE],
    "standing": "online",
    "beats": "u" * 80 + "pddddddpuu",
    "beat_s": 960,
    "expected": 5,
    "heard": 5,
    "alarm": None,
    "case_id": None,
}

REFUSAL: dict[str, Any] = {
    "source": "gw-1",
    "reason": "bad_checksum",
    "count": 3,
    "last_detail": "got 17, want 42",
    "last": AT,
    "age_s": 3.0,
}

PROFILE: dict[str, Any] = {
    "name": "cover_nbiot",
    "version": 1,
    "kind": "manhole_cover",
    "title": {"zh": "智能井盖", "en": "Smart manhole cover"},
    "source": "a vendor's register map",
    "offline_after_s": 216000.0,
    "metrics": [METRIC],
    "alarms": [
        {
            "name": "cover_open",
            "priority": "critical",
            "title": {"zh": "打开", "en": "Opened"},
            "matter": "cover_missing",
        }
    ],
}
