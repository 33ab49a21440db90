"""Asks in-toto-attestation about a statement: statement.py STATEMENT SHA256.

The package knows the form only, not signatures; that the subject is the file at hand is compared here,
on what the package read.

Exit code 0: accepted. 10: refused, with its reason. Anything else: this script does not work.
"""

import sys

from google.protobuf.json_format import Parse, ParseError
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

statement_path, sha256 = sys.argv[1:]
try:
    with open(statement_path, "rb") as file:
        parsed = Parse(file.read(), statement_pb2.Statement())
    statement = Statement.copy_from_pb(parsed)
    statement.validate()
except (ParseError, ValueError) as refusal:
    print(f"{type(refusal).__name__}: {refusal}")
    sys.exit(10)
found = [subject.digest["sha256"] for subject in statement.pb.subject]
if sha256 not in found:
    print(f"about {found}")
    sys.exit(10)
