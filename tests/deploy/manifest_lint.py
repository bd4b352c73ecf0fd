"""manifest_lint.py - what types cannot see: whether the objects of an installation fit together, and to the broker.

lint(things, figures) yields one line for each mistake. things: rendered objects. figures: {metric: [labels, ...]} as
the broker's /metrics has them.
"""
import json
import re

PROBES = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
STOP_S = 30  # as long as systemd gives it (deploy/ternmq.service)
DNS_PORT = 53
# Who may be root, and write to its machine: the kubelet's folder belongs to root.
ROOT = {("DaemonSet", "ternmq-seccomp", "install")}
LOCAL_PROFILE = "ternmq/ternmq.json"  # where deploy/seccomp's DaemonSet puts it
HOST_FOLDERS = {("DaemonSet", "ternmq-seccomp"): "/var/lib/kubelet/seccomp"}


def name_of(thing):
    return f"{thing['kind']}/{thing['metadata']['name']}"


def of_kind(things, *kinds):
    return [thing for thing in things if thing["kind"] in kinds]


def workloads(things):
    return of_kind(things, "StatefulSet", "DaemonSet", "Deployment")


def template(thing):
    return thing["spec"]["template"]


def pod(thing):
    return template(thing)["spec"]


def all_containers(thing):
    return pod(thing).get("initContainers", []) + pod(thing)["containers"]


def ports_of(things):
    return [port for container in (c for t in things for c in pod(t)["containers"])
            for port in container.get("ports", ())]


def selected(things, labels):
    """The workloads whose pods have all of these labels; no labels select none."""
    return [thing for thing in workloads(things)
            if labels and labels.items() <= template(thing)["metadata"].get("labels", {}).items()]


# ---- Names that have to be somewhere else ----------------------------------------------------------------------------


def selectors(things):
    for thing in things:
        spec = thing.get("spec") or {}
        if thing["kind"] == "Service":
            labels = spec.get("selector", {})
        elif thing["kind"] in ("StatefulSet", "DaemonSet", "PodDisruptionBudget", "PodMonitor"):
            labels = spec["selector"].get("matchLabels", {})
        elif thing["kind"] == "NetworkPolicy":
            labels = spec["podSelector"].get("matchLabels", {})
        else:
            continue
        found = selected(things, labels)
        if not found or (thing in workloads(things) and thing not in found):
            yield f"{name_of(thing)}: its selector {labels} matches no pod that it should"
    for thing in workloads(things):
        yield from spreading(things, thing)


def spreading(things, thing):
    affinity = pod(thing).get("affinity", {}).get("podAntiAffinity", {})
    terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", []) + \
        [t["podAffinityTerm"] for t in affinity.get("preferredDuringSchedulingIgnoredDuringExecution", [])]
    spread = pod(thing).get("topologySpreadConstraints", [])
    for term in terms + spread:
        if thing not in selected(things, term["labelSelector"].get("matchLabels", {})):
            yield f"{name_of(thing)}: {term['topologyKey']}: the selector does not match its own pods"
    if thing["kind"] == "StatefulSet" and not (terms and spread):
        yield f"{name_of(thing)}: nothing spreads its pods"


def references(things):
    names = {(t["kind"], t["metadata"]["name"]) for t in things}
    for thing in workloads(things):
        account = pod(thing).get("serviceAccountName")
        if account and ("ServiceAccount", account) not in names:
            yield f"{name_of(thing)}: no ServiceAccount {account}"
        for volume in pod(thing).get("volumes", ()):
            wanted = [("ConfigMap", volume["configMap"]["name"])] if "configMap" in volume else \
                [("Secret", volume["secret"]["secretName"])] if "secret" in volume else []
            yield from (f"{name_of(thing)}: no {kind} {name}" for kind, name in wanted if (kind, name) not in names)
    for thing in of_kind(things, "StatefulSet"):
        heads = [t for t in of_kind(things, "Service") if t["metadata"]["name"] == thing["spec"]["serviceName"]]
        if not heads or heads[0]["spec"].get("clusterIP") != "None":
            yield f"{name_of(thing)}: serviceName {thing['spec']['serviceName']} is no headless Service"
    for thing in of_kind(things, "HorizontalPodAutoscaler"):
        target = thing["spec"]["scaleTargetRef"]
        found = [t for t in things if name_of(t) == f"{target['kind']}/{target['name']}"]
        if not found or found[0]["apiVersion"] != target["apiVersion"]:
            yield f"{name_of(thing)}: no {target['kind']} {target['name']}"
        elif "replicas" in found[0]["spec"]:
            yield f"{name_of(thing)}: replicas of its target would undo what it does with each apply"


def namespaces(things):
    made = {t["metadata"]["name"] for t in of_kind(things, "Namespace")}
    for thing in things:
        if thing["kind"] != "Namespace" and thing["metadata"].get("namespace") not in made:
            yield f"{name_of(thing)}: its namespace {thing['metadata'].get('namespace')} is not there"


# ---- Ports and probes ------------------------------------------------------------------------------------------------


def is_port(things, port, protocol):
    return any(port in (p.get("name"), p["containerPort"]) and p.get("protocol", "TCP") == protocol
               for p in ports_of(things))


def container_ports(things):
    for thing in workloads(things):
        ports = ports_of([thing])
        for port in ports:
            if "name" not in port:
                yield f"{name_of(thing)}: port {port['containerPort']} has no name"
        for key in (lambda p: p.get("name"), lambda p: (p["containerPort"], p.get("protocol", "TCP"))):
            values = [key(p) for p in ports]
            for value in {v for v in values if values.count(v) > 1}:
                yield f"{name_of(thing)}: port {value} twice"


def ports(things):
    yield from container_ports(things)
    for thing in of_kind(things, "Service"):
        behind = selected(things, thing["spec"].get("selector", {}))
        for port in thing["spec"].get("ports", ()):
            if "name" not in port or not is_port(behind, port["targetPort"], port.get("protocol", "TCP")):
                yield f"{name_of(thing)}: port {port} leads nowhere, or has no name"
    for thing in of_kind(things, "NetworkPolicy"):
        behind = selected(things, thing["spec"]["podSelector"].get("matchLabels", {}))
        for rule in thing["spec"].get("ingress", []) + thing["spec"].get("egress", []):
            for port in rule.get("ports", ()):
                if port["port"] != DNS_PORT and not is_port(behind, port["port"], port["protocol"]):
                    yield f"{name_of(thing)}: no port {port['port']} by {port['protocol']}"
    for thing in of_kind(things, "PodMonitor"):
        behind = selected(things, thing["spec"]["selector"].get("matchLabels", {}))
        for end in thing["spec"]["podMetricsEndpoints"]:
            if not is_port(behind, end["port"], "TCP") or end["path"] != "/metrics":
                yield f"{name_of(thing)}: no metrics at {end['port']}{end['path']}"


def probes(things):
    for thing in workloads(things):
        for container in pod(thing)["containers"]:
            names = {p["name"]: p for p in container.get("ports", ()) if "name" in p}
            for kind, path in PROBES.items():
                http = container.get(kind, {}).get("httpGet", {})
                if names and (http.get("path") != path or http.get("port") not in names):
                    yield f"{name_of(thing)}: {container['name']} has no {kind} of {path}"


# ---- How pods begin and end, and what they may -----------------------------------------------------------------------


def endings(things):
    for thing in of_kind(things, "StatefulSet"):
        sleep = max(c.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
                    for c in pod(thing)["containers"])
        grace = pod(thing).get("terminationGracePeriodSeconds", 30)
        if sleep == 0:
            yield f"{name_of(thing)}: preStop does not wait until nobody is sent to it"
        if grace < sleep + STOP_S:
            yield f"{name_of(thing)}: terminationGracePeriodSeconds {grace} is less than {sleep} + {STOP_S}"


def volumes(things):
    for thing in workloads(things):
        where = name_of(thing)
        there = [v["name"] for v in pod(thing).get("volumes", ())] + \
            [c["metadata"]["name"] for c in thing["spec"].get("volumeClaimTemplates", ())]
        mounts = [m for c in all_containers(thing) for m in c.get("volumeMounts", ())]
        for mount in mounts:
            if "subPath" in mount or "subPathExpr" in mount:
                yield f"{where}: {mount['mountPath']}: changes do not come through a subPath"
            if mount["name"] not in there:
                yield f"{where}: {mount['mountPath']}: no volume {mount['name']}"
        for name in set(there) - {m["name"] for m in mounts}:
            yield f"{where}: volume {name} is not mounted"
        for volume in pod(thing).get("volumes", ()):
            folder = volume.get("hostPath", {}).get("path")
            if folder and HOST_FOLDERS.get((thing["kind"], thing["metadata"]["name"])) != folder:
                yield f"{where}: {folder} of the machine"


def has_resources(container):
    resources = container.get("resources", {})
    return all({"cpu", "memory"} <= resources.get(kind, {}).keys() for kind in ("requests", "limits"))


def profiles(things):
    for thing in workloads(things):
        profile = pod(thing).get("securityContext", {}).get("seccompProfile", {}).get("localhostProfile")
        if profile not in (None, LOCAL_PROFILE):
            yield f"{name_of(thing)}: nobody brings the profile {profile}"


def images(things):
    for thing in workloads(things):
        for container in all_containers(thing):
            where = f"{name_of(thing)}: {container['name']}"
            if not has_resources(container):
                yield f"{where}: resources are not all set"
            if not re.fullmatch(r"[^:]+(:\d+/[^:]+)?:(?!latest$)[\w.-]+", container["image"]):
                yield f"{where}: image {container['image']} is of no version"


def security(things):
    for thing in workloads(things):
        where, spec = name_of(thing), pod(thing)
        outer = spec.get("securityContext", {})
        for key in ("automountServiceAccountToken", "enableServiceLinks"):
            if spec.get(key) is not False:
                yield f"{where}: {key} is not false"
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(key):
                yield f"{where}: {key}"
        if outer.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{where}: no seccomp profile"
        for container in all_containers(thing):
            context = {**outer, **container.get("securityContext", {})}
            is_root = (thing["kind"], thing["metadata"]["name"], container["name"]) in ROOT
            wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                      "capabilities": {"drop": ["ALL"]}, **({} if is_root else {"runAsNonRoot": True})}
            for key, value in wanted.items():
                if context.get(key) != value:
                    yield f"{where}: {container['name']}: {key} is not {value}"
            if context.get("privileged") or (not is_root and not context.get("runAsUser")):
                yield f"{where}: {container['name']}: privileged, or without a number for its user"


# ---- What the broker and others are told -----------------------------------------------------------------------------


def discovery(things):
    for thing in of_kind(things, "StatefulSet"):
        for variable in (v for c in pod(thing)["containers"] for v in c.get("env", ())):
            if variable["name"] != "TERNMQ_CLUSTER_DNS":
                continue
            heads = [t["spec"] for t in of_kind(things, "Service") if t["metadata"]["name"] == variable["value"]]
            if not heads or heads[0].get("clusterIP") != "None" or not heads[0].get("publishNotReadyAddresses"):
                yield f"{name_of(thing)}: {variable['value']} is no headless Service with publishNotReadyAddresses"
            if thing["spec"].get("podManagementPolicy") != "Parallel":
                yield f"{name_of(thing)}: nodes wait for each other (podManagementPolicy)"
            if not of_kind(things, "PodDisruptionBudget"):
                yield f"{name_of(thing)}: no PodDisruptionBudget"


def expressions(things):
    """(where, PromQL) of alerts, dashboards and autoscalers."""
    for thing in of_kind(things, "PrometheusRule"):
        for rule in (r for group in thing["spec"]["groups"] for r in group["rules"]):
            yield f"{name_of(thing)}: {rule['alert']}", rule["expr"]
    for thing in of_kind(things, "ConfigMap"):
        for file, text in thing["data"].items():
            if not file.endswith(".json") or "grafana_dashboard" not in thing["metadata"].get("labels", {}):
                continue
            board = json.loads(text)
            for panel in board["panels"]:
                for target in panel.get("targets", ()):
                    yield f"{name_of(thing)}: {panel['title']}", target["expr"]
            for variable in board["templating"]["list"]:
                query = variable["query"]
                yield f"{name_of(thing)}: ${variable['name']}", query if isinstance(query, str) else query["query"]
    for thing in of_kind(things, "HorizontalPodAutoscaler"):
        for metric in thing["spec"]["metrics"]:
            if metric["type"] == "Pods":
                yield name_of(thing), metric["pods"]["metric"]["name"]


def metrics(things, figures):
    for where, expression in expressions(things):
        for name, matchers in re.findall(r"(ternmq_\w+)(?:\{([^}]*)\})?", expression):
            if name not in figures:
                yield f"{where}: the broker has no metric {name}"
                continue
            for label, values in re.findall(r'(\w+)=~?"([^"$]*)"', matchers):
                have = {labels.get(label) for labels in figures[name]}
                for value in values.split("|"):
                    if value not in have:
                        yield f"{where}: {name} has no {label}=\"{value}\""


def alerts(things):
    for thing in of_kind(things, "PrometheusRule"):
        rules = [r for group in thing["spec"]["groups"] for r in group["rules"]]
        names = [r["alert"] for r in rules]
        for name in {n for n in names if names.count(n) > 1}:
            yield f"{name_of(thing)}: {name} twice"
        for rule in rules:
            if rule.get("labels", {}).get("severity") not in ("critical", "warning") or \
                    not rule.get("annotations", {}).get("summary"):
                yield f"{name_of(thing)}: {rule['alert']}: no severity, or no summary"


def dashboards(things):
    for thing in of_kind(things, "ConfigMap"):
        for file, text in thing["data"].items():
            if not file.endswith(".json") or "grafana_dashboard" not in thing["metadata"].get("labels", {}):
                continue
            panels = json.loads(text)["panels"]
            taken = set()
            for panel in panels:
                grid = panel["gridPos"]
                cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"])
                         for y in range(grid["y"], grid["y"] + grid["h"])}
                if cells & taken or grid["x"] + grid["w"] > 24:
                    yield f"{name_of(thing)}: {panel['title']} lies over another panel, or beside the page"
                taken |= cells
            if len({panel["id"] for panel in panels}) != len(panels):
                yield f"{name_of(thing)}: two panels with one id"


RULES = (selectors, references, namespaces, ports, probes, endings, volumes, profiles, images, security, discovery,
         alerts, dashboards)


def lint(things, figures):
    for rule in RULES:
        yield from rule(things)
    yield from metrics(things, figures)
