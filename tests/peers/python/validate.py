"""Validates YAML files against a JSON Schema as an editor would: validate.py SCHEMA FILE...

Prints every fault and fails when there is one.
"""

import json
import sys

import jsonschema
import yaml


class Loader(yaml.SafeLoader):
    """Leaves times as the strings they are written as, which is what YAML 1.2 does."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

schema = json.load(open(sys.argv[1]))
validator_class = jsonschema.validators.validator_for(schema)
validator_class.check_schema(schema)
faults = [
    f"{path}: {fault.json_path}: {fault.message}"
    for path in sys.argv[2:]
    for fault in validator_class(schema).iter_errors(yaml.load(open(path), Loader))
]
print("\n".join(faults))
sys.exit(1 if faults else 0)
