"""Secrets open only with their own key, and nothing shows them on the way."""

import base64

import pytest

from proto import codec
from proto.errors import Malformed, Misconfigured
from proto.messages import Bundle
from proto.sealing import PrivateKey, PublicKey
from proto.specs import Sealed, ServerSecrets

SECRETS = ServerSecrets(user_data="I2Nsb3Vk", admin_password="hunter2", injected_files=[["/etc/x", "c2VjcmV0"]])
WORDS = ("I2Nsb3Vk", "hunter2", "c2VjcmV0", "/etc/x")


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return PrivateKey.generate()


def test_what_is_sealed_opens_with_its_key(key: PrivateKey) -> None:
    assert key.open(key.public().seal(SECRETS)) == SECRETS


def test_it_survives_the_wire(key: PrivateKey) -> None:
    sealed = codec.decode(codec.encode(key.public().seal(SECRETS)), Sealed)
    assert key.open(sealed) == SECRETS


def test_another_key_does_not_open_it(key: PrivateKey) -> None:
    with pytest.raises(Malformed, match="do not open"):
        PrivateKey.generate().open(key.public().seal(SECRETS))


@pytest.mark.parametrize("box", [b"", b"short", bytes(80)])
def test_a_damaged_box_is_malformed(key: PrivateKey, box: bytes) -> None:
    with pytest.raises(Malformed):
        key.open(Sealed("x", box))


def test_a_flipped_bit_is_malformed(key: PrivateKey) -> None:
    sealed = key.public().seal(SECRETS)
    with pytest.raises(Malformed):
        key.open(Sealed(sealed.key_id, sealed.box[:-1] + bytes([sealed.box[-1] ^ 1])))


def test_a_box_of_something_else_is_malformed(key: PrivateKey) -> None:
    import nacl.public

    public = nacl.public.PublicKey(base64.b64decode(key.public().base64))
    with pytest.raises(Malformed):
        key.open(Sealed("x", bytes(nacl.public.SealedBox(public).encrypt(b"\x01"))))


def test_the_key_id_names_the_public_key(key: PrivateKey) -> None:
    sealed = key.public().seal(SECRETS)
    assert sealed.key_id == key.public().seal(ServerSecrets()).key_id
    assert sealed.key_id != PrivateKey.generate().public().seal(SECRETS).key_id


def test_sealing_twice_shows_no_equality(key: PrivateKey) -> None:
    assert key.public().seal(SECRETS).box != key.public().seal(SECRETS).box


def test_nothing_secret_is_in_a_repr_or_an_error(key: PrivateKey) -> None:
    sealed = key.public().seal(SECRETS)
    bundle = Bundle("paris", 1, [], [], "-----SEED-----", key.base64)
    shown = [f"{thing!r} {thing}" for thing in (SECRETS, sealed, key, bundle)]
    with pytest.raises(Malformed) as caught:
        PrivateKey.generate().open(sealed)
    shown.append(str(caught.value))
    assert not [word for text in shown for word in (*WORDS, key.base64, "SEED") if word in text]
    assert str(sealed.box[:8]) not in shown[1]


def test_nothing_secret_is_in_the_box(key: PrivateKey) -> None:
    data = codec.encode(key.public().seal(SECRETS))
    assert not [word for word in WORDS if word.encode() in data]


def test_a_key_is_read_from_a_file_with_its_newline(key: PrivateKey) -> None:
    assert PrivateKey.parse(f"{key.base64}\n", "file").public() == key.public()


@pytest.mark.parametrize("text", ["", "x", "not base64!", base64.b64encode(b"short").decode(), "é"])
def test_a_bad_key_names_its_source_and_not_itself(text: str) -> None:
    with pytest.raises(Misconfigured, match="the setting") as caught:
        PrivateKey.parse(text, "the setting")
    assert not text or text == "x" or text not in str(caught.value)


def test_public_keys_are_values(key: PrivateKey) -> None:
    assert PublicKey(key.public().base64) == key.public()
