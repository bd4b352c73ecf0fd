"""kustomize.py - renders a kustomization, of what deploy/ uses of them. Any other field is refused, never passed over.

Names of generated objects have no hash (disableNameSuffixHash), so nothing has to be renamed. Where kubectl is there,
run.py compares what comes out with what `kubectl kustomize` makes of the same folder.
"""
import base64
import copy
import pathlib

import yaml

FIELDS = {"apiVersion", "kind", "namespace", "resources", "patches", "labels", "images", "generatorOptions",
          "configMapGenerator", "secretGenerator"}
# What the elements of a list are known by when a patch is merged into it. Other lists of objects are replaced.
MERGE_KEYS = {("containers",): ("name",), ("initContainers",): ("name",), ("volumes",): ("name",),
              ("containers", "env"): ("name",), ("containers", "volumeMounts"): ("mountPath",),
              ("containers", "ports"): ("containerPort", "protocol"), ("spec", "ports"): ("port", "protocol")}


class Refused(Exception):
    """The kustomization asks for something that is not known here, or does not fit together."""


def only(what, where, known):
    if not isinstance(what, dict):
        raise Refused(f"{where}: not an object: {what!r}")
    unknown = set(what) - set(known)
    if unknown:
        raise Refused(f"{where}: unknown: {', '.join(sorted(unknown))}")
    return what


def identity(thing):
    return thing["apiVersion"].partition("/")[0] if "/" in thing["apiVersion"] else "", thing["kind"], \
        thing["metadata"]["name"]


# ---- Patches -----------------------------------------------------------------------------------------------------


def keys_of(path):
    steps = tuple(step for step in path if isinstance(step, str))
    return MERGE_KEYS.get(steps[-2:]) or MERGE_KEYS.get(steps[-1:])


def merge_list(old, patch, path):
    keys = keys_of(path)
    if keys is None:
        return copy.deepcopy(patch)
    result, fresh = list(old), []
    for element in patch:
        known = [element.get(key) for key in keys]
        if None in known:
            raise Refused(f"{'.'.join(path)}: {element}: without {' and '.join(keys)}")
        places = [i for i, have in enumerate(result) if [have.get(key) for key in keys] == known]
        if element.get("$patch") == "delete":
            if not places:
                raise Refused(f"{'.'.join(path)}: nothing to delete: {known}")
            del result[places[0]]
        elif places:
            result[places[0]] = merge(result[places[0]], element, path)
        else:
            fresh.append(merge({}, element, path))
    return fresh + result


def merge(old, patch, path=()):
    """A strategic merge patch. null takes a field away."""
    if "$patch" in patch:
        raise Refused(f"{'.'.join(path)}: $patch: {patch['$patch']}")
    result = copy.deepcopy(old)
    for name, value in patch.items():
        here = path + (name,)
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = merge(result[name] if isinstance(result.get(name), dict) else {}, value, here)
        elif isinstance(value, list) and all(isinstance(v, dict) for v in value):
            result[name] = merge_list(result.get(name) or [], value, here)
        else:
            result[name] = copy.deepcopy(value)
    return result


def apply_operation(thing, operation, where):
    only(operation, where, ("op", "path", "value"))
    *steps, last = [s.replace("~1", "/").replace("~0", "~") for s in operation["path"].split("/")[1:]]
    try:
        for step in steps:
            thing = thing[int(step)] if isinstance(thing, list) else thing[step]
        listed = isinstance(thing, list)
        if operation["op"] == "add" and listed:
            thing.insert(len(thing) if last == "-" else int(last), copy.deepcopy(operation["value"]))
        elif operation["op"] == "add":
            thing[last] = copy.deepcopy(operation["value"])
        elif operation["op"] in ("replace", "remove"):
            place = int(last) if listed else last
            thing[place]  # it has to be there
            if operation["op"] == "remove":
                del thing[place]
            else:
                thing[place] = copy.deepcopy(operation["value"])
        else:
            raise Refused(f"{where}: op {operation['op']}")
    except (KeyError, IndexError, ValueError, TypeError) as e:
        raise Refused(f"{where}: {operation['path']} is not there: {e!r}") from None


def is_target(thing, target):
    return thing["kind"] == target.get("kind", thing["kind"]) and \
        thing["metadata"]["name"] == target.get("name", thing["metadata"]["name"])


def apply_patch(things, entry, folder):
    only(entry, f"{folder}: patches", ("path", "patch", "target"))
    where = f"{folder}: patch {entry.get('path', '(inline)')}"
    text = entry["patch"] if "patch" in entry else (folder / entry["path"]).read_text()
    patch = yaml.safe_load(text)
    target = only(entry.get("target", {}), where, ("kind", "name"))
    if isinstance(patch, dict) and not target:
        target = {"kind": patch["kind"], "name": patch["metadata"]["name"]}
    chosen = [i for i, thing in enumerate(things) if target and is_target(thing, target)]
    if not chosen:
        raise Refused(f"{where}: no target: {target}")
    for i in chosen:
        if isinstance(patch, list):
            for operation in patch:
                apply_operation(things[i], operation, where)
        else:
            things[i] = merge(things[i], patch)


# ---- Generators ----------------------------------------------------------------------------------------------------


def contents(entry, folder):
    for spec in entry.get("files", ()):
        name, _, path = spec.rpartition("=")
        file = folder / path
        if not file.resolve().is_relative_to(folder.resolve()):
            raise Refused(f"{folder}: {path}: kustomize takes files from the folder and below it alone")
        if not file.is_file():
            raise Refused(f"{folder}: {path} is missing")
        yield name or file.name, file.read_bytes()
    for literal in entry.get("literals", ()):
        name, _, value = literal.partition("=")
        yield name, value.encode()


def generate(things, kind, entry, folder, options):
    where = f"{folder}: {kind} {entry.get('name')}"
    only(entry, where, ("name", "files", "literals", "behavior", "options") + (("type",) if kind == "Secret" else ()))
    own = only({**options, **entry.get("options", {})}, where, ("disableNameSuffixHash", "labels"))
    if own.get("disableNameSuffixHash") is not True:
        raise Refused(f"{where}: a name with a hash (disableNameSuffixHash: true)")
    data = dict(contents(entry, folder))
    thing = {"apiVersion": "v1", "kind": kind, "metadata": {"name": entry["name"]}}
    if own.get("labels"):
        thing["metadata"]["labels"] = dict(own["labels"])
    if kind == "Secret":
        thing["type"] = entry.get("type", "Opaque")
        thing["data"] = {name: base64.b64encode(value).decode() for name, value in data.items()}
    else:
        thing["data"] = {name: value.decode() for name, value in data.items()}
    same = [old for old in things if identity(old) == identity(thing)]
    behavior = entry.get("behavior", "create")
    if behavior == "replace" and same:
        same[0]["data"] = thing["data"]
    elif behavior == "create" and not same:
        things.append(thing)
    else:
        raise Refused(f"{where}: behavior {behavior}, and it is {'' if same else 'not '}there")


# ---- The rest of it ------------------------------------------------------------------------------------------------


def set_namespace(things, namespace):
    for thing in things:
        if thing["kind"] == "Namespace":
            thing["metadata"]["name"] = namespace
        else:
            thing["metadata"]["namespace"] = namespace


def containers_of(thing):
    pod = thing.get("spec", {}).get("template", {}).get("spec", {})
    return pod.get("initContainers", []) + pod.get("containers", [])


def set_image(things, entry, folder):
    only(entry, f"{folder}: images", ("name", "newName", "newTag"))
    for thing in things:
        for container in containers_of(thing):
            name, _, tag = container["image"].partition(":")
            if name == entry["name"]:
                tag = str(entry.get("newTag", tag))
                container["image"] = entry.get("newName", name) + (f":{tag}" if tag else "")


def set_labels(things, entry, folder):
    only(entry, f"{folder}: labels", ("pairs",))
    for thing in things:
        labels = thing["metadata"].setdefault("labels", {})
        labels.update(entry["pairs"])


def resources(folder, names):
    for name in names:
        path = folder / name
        if path.is_dir():
            yield from render(path)
        else:
            yield from (thing for thing in yaml.safe_load_all(path.read_text()) if thing)


def render(folder):
    """The objects that the kustomization in this folder stands for."""
    folder = pathlib.Path(folder)
    spec = only(yaml.safe_load((folder / "kustomization.yaml").read_text()), folder, FIELDS)
    if spec.get("kind") != "Kustomization" or spec.get("apiVersion") != "kustomize.config.k8s.io/v1beta1":
        raise Refused(f"{folder}: {spec.get('apiVersion')} {spec.get('kind')} is no Kustomization")
    things = list(resources(folder, spec.get("resources", ())))
    options = spec.get("generatorOptions", {})
    for entry in spec.get("configMapGenerator", ()):
        generate(things, "ConfigMap", entry, folder, options)
    for entry in spec.get("secretGenerator", ()):
        generate(things, "Secret", entry, folder, options)
    for entry in spec.get("patches", ()):
        apply_patch(things, entry, folder)
    if "namespace" in spec:
        set_namespace(things, spec["namespace"])
    for entry in spec.get("labels", ()):
        set_labels(things, entry, folder)
    for entry in spec.get("images", ()):
        set_image(things, entry, folder)
    names = [identity(thing) for thing in things]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise Refused(f"{folder}: twice: {twice}")
    return things
