"""Lets in-toto verify a file by a link: link.py LINK PUBLIC-KEY FILE [legacy].

A layout of one step, signed by a key made here, asks for what its owner would ask: that the step's link
is signed by this key, names this file, and that the file at hand is the one that it names. With
`legacy`, the key has the id of older software.

Exit code 0: accepted. 10: refused, with its reason. Anything else: this script does not work.
"""

import hashlib
import os
import shutil
import sys
import tempfile

from in_toto.models._signer import load_public_key_from_file
from in_toto.models.layout import Inspection, Layout, Step
from in_toto.models.link import FILENAME_FORMAT
from in_toto.models.metadata import Metablock
from in_toto.verifylib import in_toto_verify
from securesystemslib.exceptions import Error
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner

link_path, key_path, file_path = map(os.path.abspath, sys.argv[1:4])
name = os.path.basename(file_path)
key = load_public_key_from_file(key_path)
if sys.argv[4:] == ["legacy"]:
    counted = {field: key[field] for field in ("keytype", "scheme", "keyval")}
    counted["keyid_hash_algorithms"] = ["sha256", "sha512"]
    key = counted | {"keyid": hashlib.sha256(encode_canonical(counted).encode()).hexdigest()}
else:
    assert sys.argv[4:] == [], sys.argv

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
owner = CryptoSigner.generate_ed25519()
signed = Metablock(signed=layout)
signed.create_signature(owner)
owner_key = owner.public_key.to_dict() | {"keyid": owner.public_key.keyid}

with tempfile.TemporaryDirectory() as folder:
    links, here = os.path.join(folder, "links"), os.path.join(folder, "here")
    os.mkdir(links)
    os.mkdir(here)
    file_name = FILENAME_FORMAT.format(step_name="rebuild", keyid=key["keyid"])
    shutil.copy(link_path, os.path.join(links, file_name))
    shutil.copy(file_path, here)
    os.chdir(here)
    try:
        in_toto_verify(
            signed,
            {owner_key["keyid"]: owner_key},
            link_dir_path=links,
            persist_inspection_links=False,
        )
    except (Error, ValueError) as refusal:
        print(f"{type(refusal).__name__}: {refusal}")
        sys.exit(10)
    finally:
        os.chdir("/")
