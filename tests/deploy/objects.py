"""objects.py - what lookalike.py knows of the objects of Kubernetes. A field or a value that is not here is refused by
its path, so that no test passes because something was passed over.

In KNOWN a type stands for a value of it, a set for its elements, a list for any number of what it has, an object for
its fields; "*" is a field of any name. ANYTHING is what has no effect where there is one machine and no API server.
"""
ANYTHING = object()

TEXTS = {"*": str}
METADATA = {"name": str, "namespace": str, "labels": TEXTS}
AMOUNTS = {"cpu": str, "memory": str}
PORT = (str, int)
PROBE = {"httpGet": {"path": str, "port": PORT}, "periodSeconds": int, "timeoutSeconds": int, "failureThreshold": int}
CONTAINER = {
    "name": str,
    "image": str,
    "ports": [{"name": str, "containerPort": int, "protocol": {"TCP", "UDP"}}],
    "env": [{"name": str, "value": str,
             "valueFrom": {"fieldRef": {"fieldPath": {"status.podIP", "metadata.name", "metadata.namespace"}}}}],
    "startupProbe": PROBE,
    "livenessProbe": PROBE,
    "readinessProbe": PROBE,
    "lifecycle": {"preStop": {"sleep": {"seconds": int}}},
    "resources": {"requests": ANYTHING, "limits": AMOUNTS},
    "securityContext": {"allowPrivilegeEscalation": {False}, "privileged": {False}, "readOnlyRootFilesystem": {True},
                        "capabilities": {"drop": [{"ALL"}]}},
    "volumeMounts": [{"name": str, "mountPath": str, "readOnly": bool}],
}
POD = {
    "serviceAccountName": str,
    "automountServiceAccountToken": {False},
    "enableServiceLinks": {False},
    "terminationGracePeriodSeconds": int,
    "securityContext": {"runAsNonRoot": {True}, "runAsUser": int, "runAsGroup": int, "fsGroup": int,
                        "fsGroupChangePolicy": {"OnRootMismatch"},
                        "seccompProfile": {"type": {"RuntimeDefault", "Localhost"},
                                           "localhostProfile": {"ternmq/ternmq.json"}}},
    "affinity": ANYTHING,
    "topologySpreadConstraints": ANYTHING,
    "containers": [CONTAINER],
    "volumes": [{"name": str, "configMap": {"name": str}, "secret": {"secretName": str, "defaultMode": int}}],
}
CLAIM = {"metadata": {"name": str},
         "spec": {"accessModes": [{"ReadWriteOnce"}], "resources": {"requests": {"storage": str}}}}
KNOWN = {
    "StatefulSet": {
        "apiVersion": {"apps/v1"}, "kind": str, "metadata": METADATA,
        "spec": {
            "serviceName": str,
            "replicas": int,
            "podManagementPolicy": {"Parallel"},
            "updateStrategy": {"type": {"RollingUpdate"}},
            "minReadySeconds": int,
            "revisionHistoryLimit": ANYTHING,
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": {"Retain"}, "whenScaled": {"Retain"}},
            "selector": {"matchLabels": TEXTS},
            "template": {"metadata": {"labels": TEXTS, "annotations": TEXTS}, "spec": POD},
            "volumeClaimTemplates": [CLAIM],
        }},
    "Service": {
        "apiVersion": {"v1"}, "kind": str, "metadata": METADATA,
        "spec": {
            "selector": TEXTS,
            "clusterIP": {"None"},
            "publishNotReadyAddresses": bool,
            "ports": [{"name": str, "port": int, "targetPort": PORT, "protocol": {"TCP", "UDP"}}],
        }},
    "ConfigMap": {"apiVersion": {"v1"}, "kind": str, "metadata": METADATA, "data": TEXTS},
    "Secret": {"apiVersion": {"v1"}, "kind": str, "metadata": METADATA, "type": str, "data": TEXTS},
    # Not enforced here: who may talk to whom, and who may be evicted. The lint looks at them.
    "Namespace": ANYTHING, "ServiceAccount": ANYTHING, "NetworkPolicy": ANYTHING, "PodDisruptionBudget": ANYTHING,
}


class Refused(Exception):
    """An object has what the look-alike does not know."""


def _object(value, known, path):
    if not isinstance(value, dict):
        raise Refused(f"{path}: {value!r} is no object")
    for name, inner in value.items():
        if name not in known and "*" not in known:
            raise Refused(f"{path}.{name} is not known")
        check_value(inner, known.get(name, known.get("*")), f"{path}.{name}")


def check_value(value, known, path):
    if known is ANYTHING:
        return
    if isinstance(known, dict):
        _object(value, known, path)
    elif isinstance(known, list):
        if not isinstance(value, list):
            raise Refused(f"{path}: {value!r} is no list")
        for i, inner in enumerate(value):
            check_value(inner, known[0], f"{path}[{i}]")
    elif isinstance(known, set):
        # True is 1 to Python, and no number to Kubernetes.
        if not any(type(value) is type(one) and value == one for one in known):
            raise Refused(f"{path}: {value!r} is not known")
    elif type(value) not in (known if isinstance(known, tuple) else (known,)):
        raise Refused(f"{path}: {value!r} is of another type")


def check(things):
    """{(kind, name): object} of things that are all known, one of them a StatefulSet."""
    found = {}
    for thing in things:
        kind, name = thing["kind"], thing["metadata"]["name"]
        if kind not in KNOWN:
            raise Refused(f"{kind}/{name}: {kind} is not known")
        check_value(thing, KNOWN[kind], f"{kind}/{name}")
        found[kind, name] = thing
    sets = [thing for (kind, _), thing in found.items() if kind == "StatefulSet"]
    if len(sets) != 1 or len(sets[0]["spec"]["template"]["spec"]["containers"]) != 1:
        raise Refused("there has to be one StatefulSet, with one container")
    return found
