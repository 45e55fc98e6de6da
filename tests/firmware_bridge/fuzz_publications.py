"""Any bytes as a publication in every form, and as a word of presence."""

import json

from device_profiles.model import Profile
from device_profiles.shelf import load_catalog
from device_profiles.wires.mqtt import Form, MqttTopic, Several
from firmware_bridge.errors import ParseError
from firmware_bridge.publications import decode_publication, elements, parse_publication, read_presence

_WIRES = [(profile, profile.wire.mqtt) for profile in load_catalog().values() if profile.wire.mqtt is not None]
_TOPICS = [(profile, topic) for profile, wire in _WIRES for topic in wire.topics]
_PRESENCE = [presence for _, wire in _WIRES for presence in wire.presence]
_EACH = (Several(path=(), identity=("mac",)), Several(path=("d", 0), identity=("id",)))


def fuzz_one(data: bytes) -> None:
    """Nothing but ParseError; what is read can be written as plain JSON."""
    for profile, topic in _TOPICS:
        _read(profile, topic, data)
    for presence in _PRESENCE:
        try:
            read_presence(presence, data)
        except ParseError:
            continue
    for each in _EACH:
        for form in Form:
            try:
                list(elements(parse_publication(form, data), each))
            except ParseError:
                continue


def _read(profile: Profile, topic: MqttTopic, data: bytes) -> None:
    try:
        parsed = parse_publication(topic.form, data)
    except ParseError:
        return
    for decoded in decode_publication(profile, topic, parsed, "b-1", 1_795_142_400_000_000_000):
        json.dumps(decoded.values, allow_nan=False).encode()
