"""Seals vouchers to the web app's public key (libsodium's sealed box).

This process can write them and never read them again.
"""

import base64
import binascii
import re

from nacl.exceptions import CryptoError
from nacl.public import PublicKey, SealedBox


class Sealer:
    """Seals to `public_key`: X25519, 32 bytes, base64 or hex; else raises `ValueError`."""

    def __init__(self, public_key: str) -> None:
        try:
            self._box = SealedBox(PublicKey(_key_bytes(public_key.strip())))
            self.seal(b"")  # libsodium refuses some keys only when they are used
        except (CryptoError, TypeError, ValueError):
            raise ValueError(
                "the voucher key is not an X25519 public key of 32 bytes in base64 or hex"
            ) from None

    @classmethod
    def from_key(cls, public_key: str | None) -> "Sealer | None":
        """None when there is no key: then vouchers are dropped."""
        if public_key and public_key.strip():
            return cls(public_key)
        return None

    def seal(self, plain: bytes) -> str:
        """The sealed box in base64; only the web app has the private key that opens it."""
        return base64.b64encode(self._box.encrypt(plain)).decode("ascii")


def _key_bytes(text: str) -> bytes:
    if re.fullmatch("[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    try:
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded.translate(str.maketrans("-_", "+/")), validate=True)
    except binascii.Error:
        raise ValueError("neither base64 nor hex") from None
