#!/usr/bin/env python3
"""Collects the schemas against which manifests are validated, from two packages of the Python index, unpacked into one folder:
kubernetes-validate 1.37.0 and kubeflow-training 1.9.4. Usage: collect.py FOLDER"""

import ast
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
ROOTS = ["io.k8s.api.batch.v1.Job", "io.k8s.api.core.v1.ConfigMap", "io.k8s.api.core.v1.Service", "io.k8s.api.apps.v1.Deployment",
         "io.k8s.api.core.v1.PodTemplateSpec", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]


def short(value):
    """Leaves out descriptions and vendor keys: they validate nothing and are most of the bytes."""
    if isinstance(value, dict):
        return {key: short(item) for key, item in value.items()
                if not key.startswith("x-kubernetes") and not (key == "description" and isinstance(item, str))}
    return [short(item) for item in value] if isinstance(value, list) else value


def references(value):
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref":
                yield item.rsplit("/", 1)[1]
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def kubernetes(folder):
    path = folder / "kubernetes_validate/kubernetes-json-schema/v1.37.0-local-strict/_definitions.json"
    known = json.loads(path.read_text())["$defs"]
    wanted, found = list(ROOTS), {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = json.loads(json.dumps(short(known[name])).replace("/api/_definitions.json#", "#").replace("#/$defs/", "#/definitions/"))
            wanted.extend(references(found[name]))
    return found


def kubeflow_type(text):
    scalars = {"str": {"type": "string"}, "int": {"type": "integer"}, "bool": {"type": "boolean"}, "datetime": {"type": "string"}}
    if text in scalars:
        return scalars[text]
    if text.startswith("list["):
        return {"type": "array", "items": kubeflow_type(text[5:-1])}
    if text.startswith("dict("):
        return {"type": "object", "additionalProperties": kubeflow_type(text[5:-1].split(", ", 1)[1])}
    if text.startswith("KubeflowOrgV1"):
        return {"$ref": "#/definitions/" + text}
    return {"$ref": "#/definitions/" + {"V1PodTemplateSpec": ROOTS[4], "V1ObjectMeta": ROOTS[5]}[text]} \
        if text in ("V1PodTemplateSpec", "V1ObjectMeta") else {}


def kubeflow(folder):
    """Reads the models' `openapi_types`, `attribute_map` and which attributes must not be None."""
    found = {}
    for path in sorted((folder / "kubeflow/training/models").glob("kubeflow_org_v1_*.py")):
        text = path.read_text()
        model = next(node for node in ast.parse(text).body if isinstance(node, ast.ClassDef))
        maps = {node.targets[0].id: ast.literal_eval(node.value) for node in model.body if isinstance(node, ast.Assign)}
        keys = maps["attribute_map"]
        required = [key for name, key in keys.items() if "Invalid value for `%s`, must not be `None`" % name in text]
        found[model.name] = {
            "type": "object", "additionalProperties": False, "required": required,
            "properties": {keys[name]: kubeflow_type(kind) for name, kind in maps["openapi_types"].items()},
        }
        if not required:
            del found[model.name]["required"]
    wanted, kept = ["KubeflowOrgV1PyTorchJob"], {}
    while wanted:
        name = wanted.pop()
        if name in found and name not in kept:
            kept[name] = found[name]
            wanted.extend(references(found[name]))
    return kept


def main():
    folder = pathlib.Path(sys.argv[1])
    for name, definitions in (("kubernetes-1.37.json", kubernetes(folder)), ("kubeflow-training-1.9.4.json", kubeflow(folder))):
        text = json.dumps({"definitions": definitions}, indent=1, sort_keys=True)
        (HERE / name).write_text(text + "\n")
        print(name, len(definitions), "definitions,", len(text), "bytes")


main()
