"""A voucher is sealed to a public key that may be written in several ways, and a bad key stops the
start.
"""

import base64

import pytest
from nacl.public import PrivateKey, SealedBox

from worker.suppliers.sealing import Sealer

PRIVATE = PrivateKey(bytes(range(32)))
RAW = bytes(PRIVATE.public_key)


@pytest.mark.parametrize(
    "written",
    [
        RAW.hex(),
        RAW.hex().upper(),
        base64.b64encode(RAW).decode(),
        base64.urlsafe_b64encode(RAW).decode().rstrip("="),
        f"  {base64.b64encode(RAW).decode()}\n",
    ],
)
def test_what_is_sealed_opens_with_the_private_key_only(written):
    """Base64 or hex, padded or not."""
    sealed = Sealer(written).seal(b"voucher")
    assert SealedBox(PRIVATE).decrypt(base64.b64decode(sealed)) == b"voucher"
    assert Sealer(written).seal(b"voucher") != sealed


@pytest.mark.parametrize(
    "written",
    ["no key", "abcd", RAW.hex()[:-2], base64.b64encode(RAW + b"x").decode(), "ü", "00" * 32],
)
def test_a_bad_key_is_refused_without_being_shown(written):
    """One clear line, and no cause behind it."""
    with pytest.raises(ValueError, match="not an X25519 public key") as caught:
        Sealer(written)
    assert written not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("written", [None, "", "  "])
def test_without_a_key_there_is_no_sealer(written):
    """Then vouchers are dropped."""
    assert Sealer.from_key(written) is None
