"""The answers to a service's attributes, checked against what was asked."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from cloud.notify.config import Language
from cloud.open311.catalogue import COMPONENT, Attribute, DataType, Entry
from cloud.open311.faults import Fault, Trouble, in_language
from cloud.open311.times import read_time
from device_profiles.quantities import Text

__all__ = ["Answer", "check_answers", "component_of"]

_MOST_STRING = 200
_MOST_TEXT = 2000
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")

_WANTED: Final[Mapping[DataType, Text]] = {
    DataType.STRING: Text(f"一行文字（不超过 {_MOST_STRING} 字）", f"one line of at most {_MOST_STRING} characters"),
    DataType.NUMBER: Text("数字", "a number"),
    DataType.DATETIME: Text("带时区的时间", "a time with its zone"),
    DataType.TEXT: Text(f"不超过 {_MOST_TEXT} 字的文字", f"a text of at most {_MOST_TEXT} characters"),
    DataType.SINGLEVALUELIST: Text("列表中的一项", "one of its values"),
    DataType.MULTIVALUELIST: Text("列表中的项", "among its values"),
}


class Answer(msgspec.Struct, frozen=True):
    """What was said to one attribute; for a list, the keys of its values."""

    attribute: Attribute
    said: tuple[str, ...]

    def line(self, language: Language) -> str:
        """Question and answer, as a line of the case's description."""
        values = self.attribute.values
        said = [in_language(values[one], language) if one in values else one for one in self.said]
        between, colon = ("、", "：") if language is Language.ZH else (", ", ": ")
        return f"{in_language(self.attribute.description, language)}{colon}{between.join(said)}"


def check_answers(entry: Entry, given: Mapping[str, Sequence[str]]) -> tuple[tuple[Answer, ...], list[Trouble]]:
    """The answers in the order of the questions, and everything that is wrong with them."""
    asked = {attribute.code: attribute for attribute in entry.attributes if attribute.asked}
    troubles = [Trouble(Fault.ATTRIBUTE_UNKNOWN, {"code": code}) for code in given if code not in asked]
    answers = []
    for code, attribute in asked.items():
        said = tuple(dict.fromkeys(given.get(code, ())))
        if not said and attribute.required:
            troubles.append(Trouble(Fault.ATTRIBUTE_MISSING, {"code": code, "description": attribute.description}))
        elif said and not _fits(attribute, said):
            values = {"code": code, "wanted": _WANTED[attribute.datatype], "value": ", ".join(said)}
            troubles.append(Trouble(Fault.ATTRIBUTE_WRONG, values))
        elif said:
            answers.append(Answer(attribute, said))
    return tuple(answers), troubles


def component_of(answers: Sequence[Answer]) -> str:
    """The code on the object that was answered; empty where none was."""
    return next((answer.said[0] for answer in answers if answer.attribute.code == COMPONENT), "")


def _fits(attribute: Attribute, said: tuple[str, ...]) -> bool:
    if attribute.datatype is DataType.MULTIVALUELIST:
        return all(one in attribute.values for one in said)
    return len(said) == 1 and _is(attribute, said[0])


def _is(attribute: Attribute, text: str) -> bool:
    match attribute.datatype:
        case DataType.STRING:
            return len(text) <= _MOST_STRING and "\n" not in text
        case DataType.TEXT:
            return len(text) <= _MOST_TEXT
        case DataType.NUMBER:
            return _NUMBER.fullmatch(text) is not None
        case DataType.DATETIME:
            return read_time(text) is not None
        case DataType.SINGLEVALUELIST | DataType.MULTIVALUELIST:
            return text in attribute.values
