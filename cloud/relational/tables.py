"""The relational schema. Times are integer nanoseconds since the Unix epoch, UTC; positions WGS-84 degrees.

Alembic's migrations make these tables; a test holds the two together.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

__all__ = [
    "alarms",
    "api_keys",
    "audit",
    "calendars",
    "case_alarms",
    "case_clocks",
    "case_steps",
    "cases",
    "commands",
    "deadlines",
    "devices",
    "epochs",
    "evidence",
    "gateway_states",
    "gateways",
    "lanes",
    "leases",
    "losses",
    "metadata",
    "notifications",
    "quarantine",
    "refusals",
    "sessions",
    "sta_datastreams",
    "sta_properties",
    "sta_sensors",
    "sta_things",
    "suppressions",
    "transitions",
    "users",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_id = String(64)
_ns = BigInteger
_serial = BigInteger().with_variant(Integer, "sqlite")

gateways = Table(
    "gateways",
    metadata,
    Column("id", _id, primary_key=True),
    Column("epoch", String(64), nullable=False, default=""),
    Column("boot_id", String(64), nullable=False, default=""),
    Column("agent_version", String(64), nullable=False, default=""),
    Column("online", Boolean, nullable=False, default=False),
    Column("first_seen_ns", _ns, nullable=False),
    Column("last_seen_ns", _ns, nullable=False),
    Column("status", JSON, nullable=False, default=dict),
    # Of the latest hello: when the gateway says that it sent it, and how far that was ahead of our clock.
    Column("hello_ns", _ns, nullable=False, default=0, server_default="0"),
    Column("clock", String(16), nullable=False, default="", server_default=""),
    Column("clock_ahead_ns", _ns),
)

# When a gateway became online, offline or silent; the newest 256 of each.
gateway_states = Table(
    "gateway_states",
    metadata,
    Column("gateway", _id, primary_key=True),
    Column("at_ns", _ns, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
)

# Every epoch that a gateway ever said hello with; `gateways.epoch` is the newest one.
epochs = Table(
    "epochs",
    metadata,
    Column("gateway", _id, primary_key=True),
    Column("epoch", String(64), primary_key=True),
    Column("first_seen_ns", _ns, nullable=False),
)

# The account of one lane of one epoch: everything up to `watermark`, and every range above it, is done.
lanes = Table(
    "lanes",
    metadata,
    Column("gateway", _id, primary_key=True),
    Column("epoch", String(64), primary_key=True),
    Column("lane", String(16), primary_key=True),
    Column("watermark", BigInteger, nullable=False, default=0),
    Column("ranges", JSON, nullable=False, default=list),
    Column("stored", BigInteger, nullable=False, default=0),
    Column("quarantined", BigInteger, nullable=False, default=0),
    Column("lost", BigInteger, nullable=False, default=0),
    Column("moved", BigInteger, nullable=False, default=0, server_default="0"),
    Column("next_seq", BigInteger, nullable=False, default=1),
    # Fingerprints of the latest batches: [first, last, hex].
    Column("digests", JSON, nullable=False, default=list, server_default="[]"),
    Column("updated_ns", _ns, nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("gateway", _id, primary_key=True),
    Column("epoch", String(64), primary_key=True),
    Column("lane", String(16), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("reason", String(32), nullable=False),
    Column("detail", Text, nullable=False, default=""),
    Column("payload", LargeBinary, nullable=False),
    Column("at_ns", _ns, nullable=False),
)

# What is lost, or moved to a later epoch, only by somebody's word: rows of one lane do not overlap, and what is stored is in
# none. With `open_end` nobody can tell how much came after `seq_to`; such a row may hold no record at all (seq_to < seq_from).
losses = Table(
    "losses",
    metadata,
    Column("gateway", _id, primary_key=True),
    Column("epoch", String(64), primary_key=True),
    Column("lane", String(16), primary_key=True),
    Column("seq_from", BigInteger, primary_key=True),
    Column("seq_to", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("time_from_ns", _ns, nullable=False),
    Column("time_to_ns", _ns, nullable=False),
    Column("reason", String(32), nullable=False),
    Column("at_ns", _ns, nullable=False),
    Column("open_end", Boolean, nullable=False, default=False, server_default=false()),
)

devices = Table(
    "devices",
    metadata,
    Column("id", _id, primary_key=True),
    Column("gateway", _id, nullable=False, index=True),
    Column("profile", _id, nullable=False),
    Column("profile_version", Integer, nullable=False),
    Column("kind", _id, nullable=False, index=True),
    Column("name", String(200), nullable=False, default=""),
    Column("component_code", String(32), nullable=False, default=""),
    Column("longitude", Float),
    Column("latitude", Float),
    Column("first_seen_ns", _ns, nullable=False),
    Column("last_reading_ns", _ns),
)

transitions = Table(
    "transitions",
    metadata,
    Column("alarm", String(160), primary_key=True),
    Column("origin", String(8), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("device", _id, nullable=False, index=True),
    Column("rule", _id, nullable=False),
    Column("profile", _id, nullable=False),
    Column("profile_version", Integer, nullable=False),
    Column("cause", String(32), nullable=False),
    Column("priority", String(16), nullable=False),
    Column("from_state", String(32), nullable=False),
    Column("to_state", String(32), nullable=False),
    Column("event_time_ns", _ns, nullable=False, index=True),
    Column("recorded_ns", _ns, nullable=False),
    Column("stored_ns", _ns, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("evidence", JSON, nullable=False, default=dict),
    Column("note", Text, nullable=False, default=""),
)

# The current row of each occurrence: a projection of `transitions` that can be rebuilt from it.
alarms = Table(
    "alarms",
    metadata,
    Column("id", String(160), primary_key=True),
    Column("device", _id, nullable=False, index=True),
    Column("rule", _id, nullable=False),
    Column("profile", _id, nullable=False),
    Column("profile_version", Integer, nullable=False),
    Column("priority", String(16), nullable=False),
    Column("state", String(32), nullable=False, index=True),
    Column("uncertain", Boolean, nullable=False, default=False),
    Column("raised_ns", _ns, nullable=False, index=True),
    # How often the condition came true within this occurrence.
    Column("raises", Integer, nullable=False, default=1, server_default="1"),
    Column("returned_ns", _ns),
    Column("acknowledged_ns", _ns),
    Column("acknowledged_by", String(128), nullable=False, default=""),
    Column("evidence", JSON, nullable=False, default=dict),
    Column("case_id", _serial, index=True),
    # The list of the open alarms, newest first; those of the past are many times as many.
    Index(
        "ix_alarms_open",
        "raised_ns",
        "id",
        sqlite_where=text("state != 'normal'"),
        postgresql_where=text("state != 'normal'"),
    ),
)

# The suppression of each alarm, whose id is device/rule, past ones too: a projection of its own log in `transitions`.
# `shown` is the strongest that holds, "" where none does; what tells of one that does not hold is empty.
suppressions = Table(
    "suppressions",
    metadata,
    Column("id", String(160), primary_key=True),
    Column("device", _id, nullable=False),
    Column("rule", _id, nullable=False),
    Column("profile", _id, nullable=False),
    Column("profile_version", Integer, nullable=False),
    Column("priority", String(16), nullable=False),
    Column("shown", String(32), nullable=False, index=True),
    Column("changed_ns", _ns, nullable=False),
    Column("shelf", String(16), nullable=False),
    Column("shelved_ns", _ns),
    Column("shelved_until_ns", _ns, index=True),
    Column("shelved_by", String(128), nullable=False),
    Column("shelf_reason", Text, nullable=False),
    Column("by_design", Boolean, nullable=False),
    Column("suppressed_by", JSON, nullable=False),
    Column("out_of_service", Boolean, nullable=False),
    Column("out_ns", _ns),
    Column("review_ns", _ns),
    Column("out_by", String(128), nullable=False),
    Column("out_reason", Text, nullable=False),
    Index("ix_suppressions_device_rule", "device", "rule"),
)

# A case and where it stands in the workflow (`cloud.workflow`); what was done to it is in `case_steps`, which time it has in
# `case_clocks`. `due_ns` is the end of its handling limit as far as it is known, None while it waits on hold; `closed_ns` is
# when it ended, closed or void. `matter_table` names the table's line that it goes by for ever, NAME@DATE.
cases = Table(
    "cases",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("device", _id, index=True),
    Column("matter", _id, nullable=False),
    Column("matter_table", String(80), nullable=False, default="", server_default=""),
    Column("gbt_code", String(16), nullable=False),
    Column("department", String(64), nullable=False),
    Column("district", _id, nullable=False, default="", server_default="", index=True),
    Column("title_zh", String(200), nullable=False),
    Column("title_en", String(200), nullable=False),
    Column("priority", String(16), nullable=False),
    Column("source", String(16), nullable=False, default="alarm", server_default="alarm"),
    Column("reporter", String(128), nullable=False, default="", server_default=""),
    Column("description", Text, nullable=False, default="", server_default=""),
    Column("address", String(400), nullable=False, default="", server_default=""),
    Column("state", String(32), nullable=False, index=True),
    Column("longitude", Float),
    Column("latitude", Float),
    Column("opened_ns", _ns, nullable=False, index=True),
    Column("due_ns", _ns),
    Column("closed_ns", _ns, index=True),
    Column("assignee", String(128), nullable=False, default=""),
    Column("returned", Boolean, nullable=False, default=False, server_default=false()),
    Column("found", Boolean),
    Column("checked", Boolean, nullable=False, default=False, server_default=false()),
    Column("filing_standard", Text, nullable=False, default="", server_default=""),
    Column("closing_standard", Text, nullable=False, default="", server_default=""),
    Column("asked", String(16), nullable=False, default="nothing", server_default="nothing"),
    Column("asked_by", String(128), nullable=False, default="", server_default=""),
    Column("extensions", Integer, nullable=False, default=0, server_default="0"),
    Column("holds", Integer, nullable=False, default=0, server_default="0"),
    Column("hold_until_ns", _ns),
    Column("reworks", Integer, nullable=False, default=0, server_default="0"),
    Column("supervisions", Integer, nullable=False, default=0, server_default="0"),
    Column("reopened", Integer, nullable=False, default=0, server_default="0"),
    Column("overdue", Boolean, nullable=False, default=False, server_default=false()),
    Column("exempt", Boolean, nullable=False, default=False, server_default=false()),
    Column("appeal", String(16), nullable=False, default="none", server_default="none"),
    Column("appeal_by", String(128), nullable=False, default="", server_default=""),
    Column("first_reviewer", String(128), nullable=False, default="", server_default=""),
    Column("version", Integer, nullable=False, default=1),
    # One open case per device and matter.
    Index(
        "uq_cases_open",
        "device",
        "matter",
        unique=True,
        sqlite_where=text("closed_ns IS NULL"),
        postgresql_where=text("closed_ns IS NULL"),
    ),
    # The open cases of a matter near a place.
    Index(
        "ix_cases_place",
        "matter",
        "latitude",
        sqlite_where=text("closed_ns IS NULL"),
        postgresql_where=text("closed_ns IS NULL"),
    ),
)

# Append-only. `at_ns` is when the cloud heard of it, `done_ns` when it was done by the clock of whoever did it. `key` is given
# by the page that sends it, so that what is sent again is done once; `photos` are ids of `evidence`.
case_steps = Table(
    "case_steps",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("case_id", _serial, ForeignKey("cases.id"), nullable=False, index=True),
    Column("step", String(32), nullable=False),
    Column("from_state", String(32), nullable=False),
    Column("to_state", String(32), nullable=False),
    Column("actor", String(128), nullable=False),
    Column("role", String(16), nullable=False, default="system", server_default="system"),
    Column("at_ns", _ns, nullable=False, index=True),
    Column("done_ns", _ns),
    Column("note", Text, nullable=False, default=""),
    Column("reason", Text, nullable=False, default="", server_default=""),
    Column("standard", Text, nullable=False, default="", server_default=""),
    Column("until_ns", _ns),
    Column("department", String(64), nullable=False, default="", server_default=""),
    Column("assignee", String(128), nullable=False, default="", server_default=""),
    Column("device_says", String(16), nullable=False, default="nothing", server_default="nothing"),
    Column("photos", JSON, nullable=False, default=list, server_default="[]"),
    Column("longitude", Float),
    Column("latitude", Float),
    Column("key", String(64)),
    Index(None, "key", unique=True),
)

case_alarms = Table(
    "case_alarms",
    metadata,
    Column("case_id", _serial, ForeignKey("cases.id"), primary_key=True),
    Column("alarm", String(160), primary_key=True, index=True),
)

# The clocks of a case's stages: all that a deadline is computed from. A clock that begins at nothing again is a new row; a
# stopped one that goes on has its rest among the holds. `late` is fixed when it stops; `charged` is whose time it was.
case_clocks = Table(
    "case_clocks",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("case_id", _serial, ForeignKey("cases.id"), nullable=False, index=True),
    Column("clock", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("calendar", String(16), nullable=False),
    Column("start_ns", _ns, nullable=False),
    Column("limit_ns", _ns, nullable=False),
    Column("holds", JSON, nullable=False, default=list),
    Column("extensions", JSON, nullable=False, default=list),
    Column("deadline_ns", _ns, index=True),
    Column("stopped_ns", _ns),
    Column("late", Boolean),
    Column("charged", String(128), nullable=False, default=""),
)

# What falls due: warnings of a clock, its end, a task that nobody took, a hold whose date came. `done_ns` is when the ticker
# saw to it; what no longer counts is deleted.
deadlines = Table(
    "deadlines",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("case_id", _serial, ForeignKey("cases.id"), nullable=False, index=True),
    Column("clock_id", _serial, ForeignKey("case_clocks.id"), index=True),
    Column("what", String(32), nullable=False),
    Column("due_ns", _ns, nullable=False),
    Column("done_ns", _ns),
    Index("ix_deadlines_waiting", "due_ns", sqlite_where=text("done_ns IS NULL"), postgresql_where=text("done_ns IS NULL")),
)

# Working calendars by the version that clocks count by, whole, as `CalendarRules.encoded` writes them.
calendars = Table(
    "calendars",
    metadata,
    Column("version", String(16), primary_key=True),
    Column("rules", LargeBinary, nullable=False),
)

# Who may do what only one process may do, and until when.
leases = Table(
    "leases",
    metadata,
    Column("name", _id, primary_key=True),
    Column("holder", _id, nullable=False),
    Column("until_ns", _ns, nullable=False),
)

# Photos of what was found and done; the bytes are in a file of the id's name, which is their SHA-256.
evidence = Table(
    "evidence",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("media_type", String(64), nullable=False),
    Column("size", Integer, nullable=False),
    Column("uploaded_by", String(128), nullable=False),
    Column("at_ns", _ns, nullable=False),
)

# The durable outbox of messages to people: written in the transaction of what they tell of, sent afterwards. `target` is
# the person of a channel that has people, else empty. `copies` is how many attempts may have reached somebody. A row that
# a digest stands for names the digest's row; `token` is the end of the message's link, `opened_ns` its first use.
notifications = Table(
    "notifications",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("case_id", _serial, ForeignKey("cases.id"), index=True),
    Column("step", String(32), nullable=False),
    Column("occasion", String(200), nullable=False),
    Column("channel", _id, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_attempt_ns", _ns, nullable=False),
    Column("failure", String(32), nullable=False, default=""),
    Column("vendor_code", String(64), nullable=False, default=""),
    Column("detail", Text, nullable=False, default=""),
    Column("created_ns", _ns, nullable=False),
    Column("sent_ns", _ns),
    Column("target", _id, nullable=False, default="", server_default=""),
    Column("priority", String(16), nullable=False, default="medium", server_default="medium"),
    Column("quiet_until_ns", _ns),
    Column("copies", Integer, nullable=False, default=0, server_default="0"),
    Column("digest_id", _serial, index=True),
    Column("receipt", String(128), nullable=False, default="", server_default=""),
    Column("token", String(32)),
    Column("opened_ns", _ns),
    UniqueConstraint("occasion", "step", "channel", "target"),
    Index(None, "token", unique=True),
)

refusals = Table(
    "refusals",
    metadata,
    Column("source", String(128), primary_key=True),
    Column("reason", String(32), primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("last_detail", Text, nullable=False, default=""),
    Column("last_ns", _ns, nullable=False),
)

# Who may log in; `roles` is a list of {role, district, department}, `password` an argon2id hash with its parameters. An
# account is disabled, never deleted: its name stands in what it did.
users = Table(
    "users",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("name", _id, nullable=False),
    Column("display", String(128), nullable=False),
    Column("password", String(200), nullable=False),
    Column("roles", JSON, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_ns", _ns, nullable=False),
    Column("changed_ns", _ns, nullable=False),
    UniqueConstraint("name"),
)

# `key` is the SHA-256 of the token: whoever reads the store can open nothing with it.
sessions = Table(
    "sessions",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("user_id", _serial, ForeignKey("users.id"), nullable=False, index=True),
    Column("created_ns", _ns, nullable=False),
    Column("used_ns", _ns, nullable=False),
    Column("expires_ns", _ns, nullable=False, index=True),
    Column("user_agent", String(100), nullable=False),
)

# Keys of programs; `key` is the SHA-256 of the token, `roles` are like those of `users`. A key is revoked, never deleted.
api_keys = Table(
    "api_keys",
    metadata,
    Column("name", _id, primary_key=True),
    Column("key", String(64), nullable=False),
    Column("begins", String(16), nullable=False),
    Column("roles", JSON, nullable=False),
    Column("reads_only", Boolean, nullable=False),
    Column("made_by", String(128), nullable=False),
    Column("created_ns", _ns, nullable=False),
    Column("used_ns", _ns),
    Column("expires_ns", _ns),
    Column("revoked_ns", _ns),
    Index(None, "key", unique=True),
)

# Who did what to what and how it ended. A row is written before the act; its `outcome` is "begun" until the act is over.
audit = Table(
    "audit",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("at_ns", _ns, nullable=False, index=True),
    Column("actor", String(128), nullable=False, index=True),
    Column("role", String(16), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String(200), nullable=False, index=True),
    Column("detail", JSON, nullable=False),
    Column("address", String(64), nullable=False),
    Column("outcome", String(64), nullable=False),
)

# An order to a device and what became of it; its states are in `cloud.commands.states`. `issued_ns` is when it began to be good
# (None while a second person is awaited), `expires_ns` when it is no more sent. `counter` grows for ever per gateway; `hello_ns`
# names the gateway's connection in which it was last sent.
commands = Table(
    "commands",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("key", String(64), nullable=False),
    Column("device", _id, nullable=False),
    Column("gateway", _id, nullable=False),
    Column("command", _id, nullable=False),
    Column("arguments", JSON, nullable=False),
    Column("dangerous", Boolean, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("approved_by", String(128), nullable=False, default=""),
    Column("note", Text, nullable=False),
    Column("state", String(32), nullable=False, index=True),
    Column("ttl_s", Integer, nullable=False),
    Column("counter", BigInteger),
    Column("tries", Integer, nullable=False, default=0),
    Column("hello_ns", _ns, nullable=False, default=0),
    Column("created_ns", _ns, nullable=False),
    Column("issued_ns", _ns),
    Column("expires_ns", _ns, nullable=False),
    Column("tried_ns", _ns),
    Column("sent_ns", _ns),
    Column("acked_ns", _ns),
    Column("finished_ns", _ns),
    Column("outcome", String(16), nullable=False, default=""),
    Column("reason", String(32), nullable=False, default=""),
    Column("detail", Text, nullable=False, default=""),
    UniqueConstraint("device", "key"),
    UniqueConstraint("gateway", "counter"),
    Index("ix_commands_created", "created_ns", "id"),
)

# The numbers that devices, metrics, versions of profiles and a device's metrics have for OGC SensorThings. They are given
# once and never again, also where what they were given to is gone.
sta_things = Table(
    "sta_things",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("device", _id, nullable=False, unique=True),
)

sta_sensors = Table(
    "sta_sensors",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("profile", _id, nullable=False),
    Column("version", Integer, nullable=False),
    UniqueConstraint("profile", "version"),
)

sta_properties = Table(
    "sta_properties",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("metric", _id, nullable=False, unique=True),
)

sta_datastreams = Table(
    "sta_datastreams",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("device", _id, nullable=False),
    Column("metric", _id, nullable=False),
    UniqueConstraint("device", "metric"),
)
