"""The two tables of the loss test, in Markdown."""

from collections.abc import Sequence
from statistics import median

from benchmarks.peers.world import UNDER_WAY_S, Fault, Row

__all__ = ["as_markdown"]

_FOOT = (
    "Missing: readings that the gateway had read from the devices, by the devices' own account, and that never arrived; "
    "several runs are divided by strokes. In rows with a kill, what was read after the last reading that survived it, and at "
    f"most {UNDER_WAY_S:g} s before the kill, is not counted as missing but told in brackets: it was in the process, on its way "
    "to the disk, and promised to nobody. The same rule holds for every gateway. Arrived means for citynerve: in the cloud's "
    "series store, read back after the end; for the others: heard by a subscriber at the broker."
)


def as_markdown(rows: Sequence[Row]) -> str:
    """What is missing by fault and gateway, then what it took."""
    return f"{_losses(rows)}\n\n{_FOOT}\n\n{_details(rows)}"


def _losses(rows: Sequence[Row]) -> str:
    gateways = list(dict.fromkeys(row.gateway for row in rows))
    faults = [fault for fault in Fault if any(row.fault is fault for row in rows)]
    body = [_line(fault, *(_missing(_of(rows, gateway, fault)) for gateway in gateways)) for fault in faults]
    return "\n".join([_line("fault", *gateways), _line(*["---"] * (len(gateways) + 1)), *body])


def _details(rows: Sequence[Row]) -> str:
    head = ("gateway", "readings read", "arrived", "missing", "twice", "Modbus requests/s", "CPU, % of a core", "memory, MB")
    lines = [_line("fault", *head), _line(*["---"] * (len(head) + 1))]
    for fault in Fault:
        for gateway in dict.fromkeys(row.gateway for row in rows):
            some = _of(rows, gateway, fault)
            if some:
                lines.append(_line(fault, gateway, *_figures(some)))
    return "\n".join(lines)


def _figures(rows: Sequence[Row]) -> list[str]:
    return [
        " / ".join(str(row.offered) for row in rows),
        " / ".join(str(row.arrived) for row in rows),
        _missing(rows),
        " / ".join(str(row.duplicates) for row in rows),
        f"{median(row.requests_per_s for row in rows):.0f}",
        f"{median(row.cpu_pct for row in rows):.1f}",
        f"{max(row.rss_mb for row in rows):.0f}",
    ]


def _missing(rows: Sequence[Row]) -> str:
    killed = any(row.fault in (Fault.KILL, Fault.RESET_KILL) for row in rows)
    return " / ".join(f"{row.missing} ({row.under_way})" if killed else str(row.missing) for row in rows)


def _of(rows: Sequence[Row], gateway: str, fault: Fault) -> list[Row]:
    return [row for row in rows if (row.gateway, row.fault) == (gateway, fault)]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
