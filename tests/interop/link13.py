"""Lets in-toto 1.3 verify a file by a link, as link.py does with today's: link13.py LINK PUBLIC-KEY FILE.

It has an environment of its own, because it needs an older securesystemslib. Exit code 0: accepted. 10:
refused, with its reason. Anything else: this script does not work.
"""

import os
import shutil
import sys
import tempfile

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from in_toto.exceptions import LinkNotFoundError, RuleVerificationError, ThresholdVerificationError
from in_toto.models.layout import Inspection, Layout, Step
from in_toto.models.link import FILENAME_FORMAT
from in_toto.models.metadata import Metablock
from in_toto.verifylib import in_toto_verify
from securesystemslib.exceptions import Error, FormatError
from securesystemslib.keys import format_metadata_to_key, generate_ed25519_key

link_path, key_path, file_path = map(os.path.abspath, sys.argv[1:])
name = os.path.basename(file_path)
with open(key_path, "rb") as file:
    raw = load_pem_public_key(file.read()).public_bytes(Encoding.Raw, PublicFormat.Raw)
key, _ = format_metadata_to_key(
    {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": raw.hex()}}
)

layout = Layout()
layout.set_relative_expiration(days=1)
layout.keys = {key["keyid"]: key}
layout.steps = [
    Step(
        name="rebuild",
        pubkeys=[key["keyid"]],
        expected_products=[["REQUIRE", name], ["ALLOW", name], ["DISALLOW", "*"]],
    )
]
layout.inspect = [
    Inspection(
        name="at-hand",
        run=["true"],
        expected_materials=[
            ["REQUIRE", name],
            ["MATCH", name, "WITH", "PRODUCTS", "FROM", "rebuild"],
            ["DISALLOW", "*"],
        ],
    )
]
owner = generate_ed25519_key()
signed = Metablock(signed=layout)
signed.sign(owner)
owner_public = {k: v for k, v in owner.items() if k != "keyval"}
owner_public["keyval"] = {"public": owner["keyval"]["public"]}

with tempfile.TemporaryDirectory() as folder:
    links, here = os.path.join(folder, "links"), os.path.join(folder, "here")
    os.mkdir(links)
    os.mkdir(here)
    file_name = FILENAME_FORMAT.format(step_name="rebuild", keyid=key["keyid"])
    shutil.copy(link_path, os.path.join(links, file_name))
    shutil.copy(file_path, here)
    os.chdir(here)
    try:
        in_toto_verify(signed, {owner["keyid"]: owner_public}, link_dir_path=links)
    except (
        Error,
        FormatError,
        LinkNotFoundError,
        RuleVerificationError,
        ThresholdVerificationError,
        ValueError,
    ) as refusal:
        print(f"{type(refusal).__name__}: {refusal}")
        sys.exit(10)
    finally:
        os.chdir("/")
