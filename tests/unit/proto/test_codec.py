"""Bytes to messages: whatever arrives, it is the wanted message or Malformed."""

import contextlib

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto import codec
from proto.errors import FaultCode, Malformed
from proto.messages import Command, Fault, Observation, Outcome, Query, Rpc, ServerState
from tests.fakes.messages import STORED, WIRE

KINDS = [type(message) for message in WIRE]
QUERY = Query("paris", "census", marker="m")


def envelope(body: bytes, kind: str = "Query", version: int = codec.SCHEMA_VERSION) -> bytes:
    return b"\x83" + b"".join(msgpack.packb(part) for part in ("v", version, "kind", kind, "body")) + body


def rpc(args: bytes) -> bytes:
    """Wire bytes of an Rpc whose ``args`` are given as bytes."""
    fields = {"rpc_id": "r", "host": "h", "method": "m", "uuid": "u", "context": {}, "received_at": 1.0}
    packed = b"".join(msgpack.packb(part) for item in fields.items() for part in item)
    return envelope(b"\x87" + packed + msgpack.packb("args") + args, "Rpc")


@pytest.mark.parametrize("message", WIRE, ids=lambda message: type(message).__name__)
def test_every_message_comes_back_as_it_was(message: msgspec.Struct) -> None:
    assert codec.decode(codec.encode(message), type(message)) == message


@pytest.mark.parametrize("message", WIRE + STORED, ids=lambda message: type(message).__name__)
def test_every_value_comes_back_from_json(message: msgspec.Struct) -> None:
    assert codec.from_json(codec.to_json(message), type(message)) == message


def test_a_field_of_a_later_minor_is_ignored() -> None:
    body = msgpack.packb({"site": "paris", "verb": "census", "marker": "m", "colour": {"deep": [1, 2]}})
    assert codec.decode(envelope(body), Query) == QUERY


def test_a_field_that_an_earlier_minor_lacks_gets_its_default() -> None:
    assert codec.decode(envelope(msgpack.packb({"site": "paris", "verb": "census"})), Query).marker == ""


def test_an_envelope_may_grow() -> None:
    body = msgpack.packb({"site": "paris", "verb": "census", "marker": "m"})
    data = b"\x84" + msgpack.packb("extra") + msgpack.packb(1) + envelope(body)[1:]
    assert codec.decode(data, Query) == QUERY


@pytest.mark.parametrize("version", [0, 2, -1, 2**31])
def test_another_major_is_refused(version: int) -> None:
    body = msgpack.packb({"site": "paris", "verb": "census"})
    with pytest.raises(Malformed, match=f"version {version} is unknown"):
        codec.decode(envelope(body, version=version), Query)


def test_another_kind_is_refused() -> None:
    with pytest.raises(Malformed, match="a Query where a Command belongs"):
        codec.decode(codec.encode(QUERY), Command)


@pytest.mark.parametrize(
    "body",
    [
        {"verb": "census"},
        {"site": 3, "verb": "census"},
        {"site": None, "verb": "census"},
        {"site": "paris", "verb": "census", "length": "ten"},
        [],
        None,
        "paris",
    ],
)
def test_a_body_of_another_shape_is_malformed(body: object) -> None:
    with pytest.raises(Malformed):
        codec.decode(envelope(msgpack.packb(body)), Query)


@pytest.mark.parametrize("message", WIRE, ids=lambda message: type(message).__name__)
def test_every_truncation_is_malformed(message: msgspec.Struct) -> None:
    data = codec.encode(message)
    for length in range(len(data)):
        with pytest.raises(Malformed):
            codec.decode(data[:length], type(message))


@pytest.mark.parametrize(
    "args",
    [
        b"\x81\xa1x" + b"\x91" * 100_000 + b"\x01",
        b"\x81\xa1x" + b"\x81\x91" * 5_000 + b"\x01",
        b"\x81\xa1x\x81\x80\x01",
        b"\x81\xa1x\xa1\xff",
        b"\x81\xa1x\xd7\xff" + b"\xff" * 8,
        b"\x81\xa1x\xdd\xff\xff\xff\xff",
        b"\x81\xa1x\xc6\xff\xff\xff\xff",
        b"\xc1",
    ],
    ids=["deep", "deep keys", "map as key", "not UTF-8", "bad time", "huge array", "huge bytes", "reserved"],
)
def test_hostile_bytes_are_malformed(args: bytes) -> None:
    with pytest.raises(Malformed):
        codec.decode(rpc(args), Rpc)


def test_deep_json_is_malformed() -> None:
    with pytest.raises(Malformed):
        codec.from_json(b'{"args":' + b"[" * 100_000, Rpc)


@given(st.binary(max_size=200))
def test_garbage_is_malformed(data: bytes) -> None:
    for kind in KINDS:
        with pytest.raises(Malformed):
            codec.decode(data, kind)


@given(st.sampled_from(WIRE), st.data())
def test_damage_is_malformed_or_a_message(message: msgspec.Struct, data: st.DataObject) -> None:
    raw = bytearray(codec.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Malformed):
        assert isinstance(codec.decode(bytes(raw), type(message)), type(message))


WORDS = st.text(max_size=8)
TIMES = st.floats(allow_nan=False)
OBSERVATIONS = st.builds(
    Observation,
    WORDS,
    WORDS,
    st.integers(0, 2**63 - 1),
    TIMES,
    st.none() | st.builds(ServerState, WORDS, WORDS, st.none() | WORDS, st.integers(0, 9), WORDS, st.none() | TIMES),
    st.booleans(),
    st.sampled_from(Outcome),
    st.none() | st.builds(Fault, st.sampled_from(FaultCode), WORDS),
)


@given(OBSERVATIONS)
def test_any_observation_comes_back_as_it_was(seen: Observation) -> None:
    assert codec.decode(codec.encode(seen), Observation) == seen


def test_a_message_too_big_for_nats_is_refused_by_its_sender() -> None:
    with pytest.raises(Malformed, match="exceeds"):
        codec.encode(Query("paris", "x" * codec.MAX_MESSAGE_BYTES))
