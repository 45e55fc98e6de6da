"""In which language somebody wants to read."""

from cloud.notify.config import Language

__all__ = ["TAGS", "preferred"]

TAGS = {Language.ZH: "zh-CN", Language.EN: "en"}


def preferred(accept: str, default: Language) -> Language:
    """By an Accept-Language header (RFC 9110, 12.5.4): of the product's languages the one with the highest weight, the
    first of equals; `default` where it names neither."""
    best, weight = default, 0.0
    for part in accept.split(",")[:20]:
        tag, _, parameter = part.partition(";")
        primary = tag.strip().lower().partition("-")[0]
        its = _weight(parameter)
        if primary in set(Language) and its > weight:
            best, weight = Language(primary), its
    return best


def _weight(parameter: str) -> float:
    """Of `q=0.8`; 1 where nothing is said, 0 for what is no number from 0 to 1."""
    name, _, value = parameter.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0 if not name else 0.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
