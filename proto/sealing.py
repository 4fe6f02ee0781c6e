"""Secrets to a public key and back, with libsodium's sealed boxes (X25519, XSalsa20-Poly1305)."""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field

import msgspec
import nacl.exceptions
import nacl.public

from proto.errors import Malformed, Misconfigured
from proto.specs import Sealed, ServerSecrets


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Seals; base64 is what etcd and bundles hold."""

    base64: str

    def seal(self, secrets: ServerSecrets) -> Sealed:
        """Return the secrets readable only by the holder of the private key."""
        box = nacl.public.SealedBox(nacl.public.PublicKey(base64.b64decode(self.base64)))
        return Sealed(key_id=_key_id(self.base64), box=bytes(box.encrypt(msgspec.msgpack.encode(secrets))))


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """Opens what was sealed to its public key."""

    base64: str = field(repr=False)

    @classmethod
    def generate(cls) -> "PrivateKey":
        """Return a new random key."""
        return cls(base64.b64encode(bytes(nacl.public.PrivateKey.generate())).decode())

    @classmethod
    def parse(cls, text: str, source: str) -> "PrivateKey":
        """Return the key in ``text``; Misconfigured, naming ``source``, if it is none."""
        try:
            nacl.public.PrivateKey(base64.b64decode(text.strip(), validate=True))
        except (binascii.Error, nacl.exceptions.CryptoError, ValueError) as error:
            raise Misconfigured(f"{source} holds no sealing key (32 bytes, base64): {error}") from error
        return cls(text.strip())

    def public(self) -> PublicKey:
        """Return the key that seals to this one."""
        key = nacl.public.PrivateKey(base64.b64decode(self.base64)).public_key
        return PublicKey(base64.b64encode(bytes(key)).decode())

    def open(self, sealed: Sealed) -> ServerSecrets:
        """Return the secrets; Malformed if they were sealed to another key or damaged."""
        box = nacl.public.SealedBox(nacl.public.PrivateKey(base64.b64decode(self.base64)))
        try:
            return msgspec.msgpack.decode(box.decrypt(sealed.box), type=ServerSecrets)
        except (nacl.exceptions.CryptoError, msgspec.MsgspecError) as error:
            raise Malformed(f"secrets sealed to key {sealed.key_id} do not open with this key") from error


def _key_id(public: str) -> str:
    return hashlib.sha256(public.encode()).hexdigest()[:16]
