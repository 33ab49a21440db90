"""Asks jsonschema about documents: schema.py CASES.

CASES is a file of lines, each a JSON array of a schema's path and a document. Prints a line for each:
`valid`, or `refused` and why. Any exit code but 0: this script does not work.
"""

import json
import sys

from jsonschema import Draft202012Validator

validators = {}
with open(sys.argv[1], encoding="utf-8") as cases:
    for line in cases:
        path, document = json.loads(line)
        if path not in validators:
            with open(path, encoding="utf-8") as file:
                schema = json.load(file)
            Draft202012Validator.check_schema(schema)
            validators[path] = Draft202012Validator(schema)
        error = next(validators[path].iter_errors(document), None)
        print("valid" if error is None else f"refused: {error.json_path}")
