"""Asks securesystemslib about an envelope: dsse.py ENVELOPE PUBLIC-KEY.

Exit code 0: accepted. 10: refused, with its reason. Anything else: this script does not work.
"""

import json
import sys

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error
from securesystemslib.signer import SSlibKey

envelope_path, key_path = sys.argv[1:]
with open(key_path, "rb") as file:
    key = SSlibKey.from_crypto(load_pem_public_key(file.read()))
try:
    with open(envelope_path, "rb") as file:
        envelope = Envelope.from_dict(json.load(file))
    verified = envelope.verify([key], 1)
except (Error, ValueError) as refusal:
    print(f"{type(refusal).__name__}: {refusal}")
    sys.exit(10)
assert list(verified) == [key.keyid], verified
assert json.loads(envelope.payload)["_type"] == "https://in-toto.io/Statement/v1"
