"""The last reckoning of a fleet that has ended: what devices were told against what is in the stores, and every account."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import msgspec
from kills_terminals import alarm_at

from cloud.series.open import make_store
from edge_agent.outbox.inspect import inspect
from telemetry.clock import SECOND_NS
from telemetry.records import Lane

__all__ = ["Books", "reckon"]

_METRIC = "odometer_km"
_RULE = "emergency_button"
_MOST_TOLD = 20


class Books(msgspec.Struct):
    """What was found. `problems` is empty where nothing is lost, doubled or unaccounted for."""

    readings_told: int = 0
    readings_stored: int = 0
    readings_lost: int = 0
    alarms_told: int = 0
    transitions_stored: int = 0
    cases: int = 0
    epochs: int = 0
    problems: list[str] = []


async def reckon(
    cloud: Path, series: str, edges: Mapping[str, Path], told: Mapping[str, Path], base_ns: int, *, lossless: bool = True
) -> Books:
    """Compare everything; all programs have ended. `edges` and `told` are by gateway. With `lossless` nothing may have been
    declared lost either, and no gateway may have begun another epoch."""
    books = Books()
    promised = {gateway: _promised(path) for gateway, path in told.items()}
    with sqlite3.connect(cloud / "cloud.db") as db:
        db.row_factory = sqlite3.Row
        books.problems += _accounts(db, edges, books, lossless=lossless)
        books.problems += _alarms(db, promised, base_ns, books)
        books.problems += _cases(db, promised, books)
    async for problem in _readings(series or f"duckdb:{cloud / 'series.duckdb'}", promised, base_ns, books, lossless=lossless):
        books.problems.append(problem)
    if books.readings_told - books.readings_stored > books.readings_lost:
        books.problems.append(f"{books.readings_lost} readings declared lost: too few")
    books.problems = [
        *books.problems[:_MOST_TOLD],
        *([f"and {len(books.problems) - _MOST_TOLD} more"] * (len(books.problems) > _MOST_TOLD)),
    ]
    return books


def _promised(path: Path) -> dict[str, list[int]]:
    """The numbers of the reports that were answered, by phone, in order."""
    found: dict[str, list[int]] = defaultdict(list)
    for line in path.read_text("ascii").splitlines():
        phone, number = line.split()
        found[phone].append(int(number))
    return {phone: sorted(numbers) for phone, numbers in found.items()}


def _accounts(db: sqlite3.Connection, edges: Mapping[str, Path], books: Books, *, lossless: bool) -> Iterator[str]:
    """Each lane at the edge and in the cloud: every number up to the last is done, once, in one way."""
    rows = {(row["gateway"], row["epoch"], row["lane"]): dict(row) for row in db.execute("SELECT * FROM lanes")}
    books.epochs = len({(gateway, epoch) for gateway, epoch, _ in rows})
    if lossless and books.epochs > len(edges):
        yield f"{books.epochs} epochs of {len(edges)} gateways: an outbox began anew"
    books.readings_lost = sum(row["lost"] for (_, _, lane), row in rows.items() if lane == Lane.READINGS)
    for key, row in rows.items():
        done = row["stored"] + row["quarantined"] + row["lost"] + row.get("moved", 0)
        if not done == row["watermark"] == row["next_seq"] - 1:
            yield f"{key}: {done} done, watermark {row['watermark']}, next {row['next_seq']}"
        if lossless and (row["lost"] or row["quarantined"]):
            yield f"{key}: {row['lost']} lost, {row['quarantined']} quarantined"
    for gateway, folder in edges.items():
        yield from _edge_accounts(gateway, folder, rows)


def _edge_accounts(gateway: str, folder: Path, rows: Mapping[tuple[str, str, str], Mapping[str, int]]) -> Iterator[str]:
    seen = inspect(folder)
    for lane in Lane:
        account, row = seen.accounts[lane], rows.get((gateway, seen.epoch, lane.value))
        if account.depth:
            yield f"{gateway} {lane}: {account.depth} records still in the outbox"
        if row is None:
            if account.next_seq > 1:
                yield f"{gateway} {lane}: {account.next_seq - 1} records, and the cloud knows nothing of them"
        elif (row["next_seq"], row["quarantined"], row["lost"]) != (account.next_seq, account.quarantined, account.lost):
            yield f"{gateway} {lane}: the edge has {account}, the cloud {row}"
    if strays := [path.name for path in folder.iterdir() if "damaged" in path.name]:
        yield f"{gateway}: an outbox was set aside: {strays}"


def _alarms(db: sqlite3.Connection, promised: Mapping[str, Mapping[str, list[int]]], base_ns: int, books: Books) -> Iterator[str]:
    """Each press of a button is one occurrence, raised once and returned once."""
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in db.execute(
        "SELECT alarm, n, cause FROM transitions WHERE origin = 'edge' AND rule = ? ORDER BY alarm, n", (_RULE,)
    ):
        found[row["alarm"]].append((row["cause"], row["n"]))
        books.transitions_stored += 1
    for phones in promised.values():
        for phone, numbers in phones.items():
            wanted = _wanted_steps(f"car-{phone}", numbers, base_ns)
            books.alarms_told += len(wanted)
            for alarm, steps in wanted.items():
                if found.pop(alarm, []) != steps:
                    yield f"{alarm}: wanted {steps}"
    for alarm, strange in found.items():
        yield f"{alarm}: {strange}, and no device pressed a button then"


def _wanted_steps(device: str, numbers: list[int], base_ns: int) -> dict[str, list[tuple[str, int]]]:
    wanted: dict[str, list[tuple[str, int]]] = {}
    down = ""
    for number in numbers:
        if alarm_at(number) and not down:
            down = f"{device}/{_RULE}/{base_ns + number * SECOND_NS}"
            wanted[down] = [("raise", 1)]
        elif down and not alarm_at(number):
            wanted[down].append(("return_latched", 2))
            down = ""
    return wanted


def _cases(db: sqlite3.Connection, promised: Mapping[str, Mapping[str, list[int]]], books: Books) -> Iterator[str]:
    """Nobody closes a case here: a device that pressed its button has one, with all of its alarms in it."""
    cases = Counter((row["device"], row["matter"]) for row in db.execute("SELECT device, matter FROM cases"))
    books.cases = cases.total()
    yield from (f"{key}: {count} cases" for key, count in cases.items() if count > 1)
    pressed = {f"car-{phone}" for phones in promised.values() for phone, numbers in phones.items() if any(map(alarm_at, numbers))}
    if missing := pressed - {device for device, _ in cases}:
        yield f"no case for {sorted(missing)}"
    joined = Counter(row["alarm"] for row in db.execute("SELECT alarm FROM case_alarms"))
    yield from (f"{alarm}: in {count} cases" for alarm, count in joined.items() if count > 1)


async def _readings(
    series: str, promised: Mapping[str, Mapping[str, list[int]]], base_ns: int, books: Books, *, lossless: bool
) -> AsyncIterator[str]:
    """Each report answered is one point with its own value; nothing else is there. Only a lossy outbox may lack some."""
    store = make_store(series)
    await store.open()
    try:
        for phones in promised.values():
            for phone, numbers in phones.items():
                end_ns = base_ns + (max(numbers) + 1) * SECOND_NS
                points = (await store.range(f"car-{phone}", [_METRIC], base_ns, end_ns, len(numbers) + 1000))[_METRIC]
                books.readings_told += len(numbers)
                books.readings_stored += len(points)
                held = [round((point.time_ns - base_ns) / SECOND_NS) for point in points]
                if set(held) - set(numbers) or len(set(held)) < len(held) or (lossless and held != numbers):
                    lost, strange = set(numbers) - set(held), set(held) - set(numbers)
                    yield f"car-{phone}: {len(lost)} lost {sorted(lost)[:9]}, {len(strange)} strange {sorted(strange)[:9]}"
                wrong = [
                    point for point, number in zip(points, held, strict=True) if round(float(str(point.value)) * 10) != number
                ]
                if wrong:
                    yield f"car-{phone}: {len(wrong)} readings with another value than was sent, such as {wrong[0]}"
    finally:
        await store.close()
