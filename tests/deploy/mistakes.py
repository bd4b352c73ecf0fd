"""mistakes.py - installations with one mistake each, and what the lint has to say of it. A lint that finds nothing in
good manifests has shown nothing: it must find these."""
import copy
import json


def find(things, kind, name="ternmq"):
    return next(t for t in things if t["kind"] == kind and t["metadata"]["name"] == name)


def broker(things):
    return find(things, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]


def pod(things):
    return find(things, "StatefulSet")["spec"]["template"]["spec"]


def rule(things, n=0):
    return find(things, "PrometheusRule")["spec"]["groups"][0]["rules"][n]


def drop(things, kind, name="ternmq"):
    things.remove(find(things, kind, name))


def change_board(things, change):
    thing = find(things, "ConfigMap", "ternmq-dashboard")
    board = json.loads(thing["data"]["ternmq-dashboard.json"])
    change(board)
    thing["data"]["ternmq-dashboard.json"] = json.dumps(board)


def mount(things, **more):
    broker(things)["volumeMounts"][0].update(more)


def port(things, name):
    return next(p for p in broker(things)["ports"] if p["name"] == name)


def with_label(value):
    return {"matchLabels": {"app.kubernetes.io/name": value}}


# (what the lint has to say, as a regular expression; the mistake). Made in the overlay "autoscaling".
MISTAKES = [
    ("Service/ternmq: its selector", lambda t: find(t, "Service")["spec"].update(selector={"app": "x"})),
    ("Service/ternmq: its selector", lambda t: find(t, "Service")["spec"].pop("selector")),
    ("StatefulSet/ternmq: its selector", lambda t: find(t, "StatefulSet")["spec"].update(selector=with_label("x"))),
    ("PodDisruptionBudget/ternmq: its selector",
     lambda t: find(t, "PodDisruptionBudget")["spec"].update(selector=with_label("x"))),
    ("NetworkPolicy/ternmq: its selector",
     lambda t: find(t, "NetworkPolicy")["spec"].update(podSelector=with_label("x"))),
    ("PodMonitor/ternmq: its selector", lambda t: find(t, "PodMonitor")["spec"].update(selector=with_label("x"))),
    ("hostname: the selector does not match", lambda t: pod(t)["affinity"]["podAntiAffinity"]
     ["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"].update(labelSelector=with_label("x"))),
    ("zone: the selector does not match",
     lambda t: pod(t)["topologySpreadConstraints"][0].update(labelSelector=with_label("x"))),
    ("nothing spreads", lambda t: pod(t).pop("affinity")),
    ("nothing spreads", lambda t: pod(t).pop("topologySpreadConstraints")),
    ("no ServiceAccount ternmq", lambda t: drop(t, "ServiceAccount")),
    ("no ConfigMap ternmq$", lambda t: drop(t, "ConfigMap")),
    ("no Secret ternmq-cluster", lambda t: drop(t, "Secret", "ternmq-cluster")),
    ("is no headless Service$", lambda t: drop(t, "Service", "ternmq-nodes")),
    ("is no headless Service$", lambda t: find(t, "Service", "ternmq-nodes")["spec"].pop("clusterIP")),
    ("ternmq-nodes is no headless Service with",
     lambda t: find(t, "Service", "ternmq-nodes")["spec"].pop("publishNotReadyAddresses")),
    ("no StatefulSet other",
     lambda t: find(t, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(name="other")),
    ("replicas of its target", lambda t: find(t, "StatefulSet")["spec"].update(replicas=3)),
    ("its namespace elsewhere", lambda t: find(t, "Service")["metadata"].update(namespace="elsewhere")),
    ("its namespace None", lambda t: find(t, "Service")["metadata"].pop("namespace")),
    ("its namespace ternmq is not there", lambda t: drop(t, "Namespace")),
    ("has no name", lambda t: port(t, "gossip").pop("name")),
    ("port http twice", lambda t: port(t, "gossip").update(name="http")),
    (r"port \(9883, 'TCP'\) twice", lambda t: port(t, "mqtt").update(containerPort=9883)),
    ("leads nowhere", lambda t: find(t, "Service")["spec"]["ports"][0].update(targetPort="mqtts")),
    ("leads nowhere", lambda t: find(t, "Service")["spec"]["ports"][0].pop("name")),
    ("leads nowhere", lambda t: find(t, "Service", "ternmq-nodes")["spec"]["ports"][0].update(protocol="UDP")),
    ("no port mqtts by TCP",
     lambda t: find(t, "NetworkPolicy")["spec"]["ingress"][0]["ports"][0].update(port="mqtts")),
    ("no port gossip by TCP",
     lambda t: find(t, "NetworkPolicy")["spec"]["egress"][0]["ports"][1].update(protocol="TCP")),
    ("no metrics at", lambda t: find(t, "PodMonitor")["spec"]["podMetricsEndpoints"][0].update(port="metrics")),
    ("no metrics at", lambda t: find(t, "PodMonitor")["spec"]["podMetricsEndpoints"][0].update(path="/")),
    ("no startupProbe", lambda t: broker(t).pop("startupProbe")),
    ("no livenessProbe", lambda t: broker(t)["livenessProbe"]["httpGet"].update(path="/readyz")),
    ("no readinessProbe", lambda t: broker(t)["readinessProbe"]["httpGet"].update(port="web")),
    ("terminationGracePeriodSeconds 30", lambda t: pod(t).pop("terminationGracePeriodSeconds")),
    ("preStop does not wait", lambda t: broker(t).pop("lifecycle")),
    ("through a subPath", lambda t: mount(t, subPath="ternmq.conf")),
    ("no volume other", lambda t: mount(t, name="other")),
    ("volume users is not mounted",
     lambda t: broker(t).update(volumeMounts=[m for m in broker(t)["volumeMounts"] if m["name"] != "users"])),
    ("/etc of the machine", lambda t: pod(t)["volumes"].append({"name": "users", "hostPath": {"path": "/etc"}})),
    ("resources are not all set", lambda t: broker(t)["resources"]["limits"].pop("memory")),
    ("resources are not all set", lambda t: broker(t).pop("resources")),
    ("is of no version", lambda t: broker(t).update(image="ternmq:latest")),
    ("is of no version", lambda t: broker(t).update(image="registry.example.org:5000/ternmq")),
    ("automountServiceAccountToken is not false", lambda t: pod(t).pop("automountServiceAccountToken")),
    ("enableServiceLinks is not false", lambda t: pod(t).pop("enableServiceLinks")),
    ("hostNetwork", lambda t: pod(t).update(hostNetwork=True)),
    ("no seccomp profile", lambda t: pod(t)["securityContext"].pop("seccompProfile")),
    ("no seccomp profile", lambda t: pod(t)["securityContext"].update(seccompProfile={"type": "Unconfined"})),
    ("nobody brings the profile", lambda t: pod(t)["securityContext"].update(
        seccompProfile={"type": "Localhost", "localhostProfile": "ternmq.json"})),
    ("runAsNonRoot is not", lambda t: pod(t)["securityContext"].pop("runAsNonRoot")),
    ("without a number", lambda t: pod(t)["securityContext"].pop("runAsUser")),
    ("privileged", lambda t: broker(t)["securityContext"].update(privileged=True)),
    ("allowPrivilegeEscalation is not", lambda t: broker(t)["securityContext"].pop("allowPrivilegeEscalation")),
    ("readOnlyRootFilesystem is not", lambda t: broker(t)["securityContext"].pop("readOnlyRootFilesystem")),
    ("capabilities is not",
     lambda t: broker(t)["securityContext"].update(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]})),
    ("nodes wait for each other", lambda t: find(t, "StatefulSet")["spec"].pop("podManagementPolicy")),
    ("no PodDisruptionBudget", lambda t: drop(t, "PodDisruptionBudget")),
    ("the broker has no metric ternmq_up", lambda t: rule(t, 1).update(expr="ternmq_up == 0")),
    ("has no reason=\"full\"", lambda t: rule(t, 1).update(expr='ternmq_messages_dropped_total{reason=~"disk|full"}')),
    ("twice", lambda t: rule(t, 1).update(alert=rule(t, 2)["alert"])),
    ("no severity", lambda t: rule(t)["labels"].clear()),
    ("no summary", lambda t: rule(t).pop("annotations")),
    ("HorizontalPodAutoscaler/ternmq: the broker has no metric",
     lambda t: find(t, "HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]["metric"].update(name="ternmq_x")),
    ("dashboard: .*the broker has no metric",
     lambda t: change_board(t, lambda b: b["panels"][1]["targets"][0].update(expr="sum(ternmq_clients)"))),
    (r"dashboard: \$pod: the broker has no metric",
     lambda t: change_board(t, lambda b: b["templating"]["list"][2].update(query="label_values(ternmq_x, pod)"))),
    ("lies over another panel", lambda t: change_board(t, lambda b: b["panels"][1]["gridPos"].update(w=20))),
    ("two panels with one id", lambda t: change_board(t, lambda b: b["panels"][1].update(id=1))),
]


# (where the look-alike has to say that it does not know something; what it does not). Made in the overlay "cluster".
UNKNOWN = [
    ("StatefulSet/ternmq.spec.template.spec.hostAliases is", lambda t: pod(t).update(hostAliases=[])),
    ("StatefulSet/ternmq.spec.template.spec.containers[0].envFrom is", lambda t: broker(t).update(envFrom=[])),
    ("StatefulSet/ternmq.spec.template.spec.containers[0].lifecycle.postStart is",
     lambda t: broker(t)["lifecycle"].update(postStart={})),
    ("StatefulSet/ternmq.spec.template.spec.containers[0].livenessProbe.tcpSocket is",
     lambda t: broker(t)["livenessProbe"].update(tcpSocket={"port": 1883})),
    ("StatefulSet/ternmq.spec.template.spec.containers[0].readinessProbe.successThreshold is",
     lambda t: broker(t)["readinessProbe"].update(successThreshold=2)),
    ("StatefulSet/ternmq.spec.template.spec.containers[0].resources.limits.ephemeral-storage is",
     lambda t: broker(t)["resources"]["limits"].update({"ephemeral-storage": "1Gi"})),
    ("StatefulSet/ternmq.spec.template.spec.containers[0].volumeMounts[0].subPath is",
     lambda t: mount(t, subPath="ternmq.conf")),
    ("StatefulSet/ternmq.spec.template.spec.containers[0].securityContext.readOnlyRootFilesystem: False",
     lambda t: broker(t)["securityContext"].update(readOnlyRootFilesystem=False)),
    ("StatefulSet/ternmq.spec.podManagementPolicy: 'OrderedReady'",
     lambda t: find(t, "StatefulSet")["spec"].update(podManagementPolicy="OrderedReady")),
    ("StatefulSet/ternmq.spec.updateStrategy.rollingUpdate is",
     lambda t: find(t, "StatefulSet")["spec"]["updateStrategy"].update(rollingUpdate={"partition": 1})),
    ("StatefulSet/ternmq.spec.replicas: '3'", lambda t: find(t, "StatefulSet")["spec"].update(replicas="3")),
    ("StatefulSet/ternmq.spec.volumeClaimTemplates[0].spec.storageClassName is",
     lambda t: find(t, "StatefulSet")["spec"]["volumeClaimTemplates"][0]["spec"].update(storageClassName="fast")),
    ("Service/ternmq.spec.sessionAffinity is", lambda t: find(t, "Service")["spec"].update(sessionAffinity="ClientIP")),
    ("Service/ternmq-nodes.spec.clusterIP: '10.0.0.1'",
     lambda t: find(t, "Service", "ternmq-nodes")["spec"].update(clusterIP="10.0.0.1")),
    ("ConfigMap/ternmq.immutable is", lambda t: find(t, "ConfigMap").update(immutable=True)),
    ("Secret/ternmq-users.stringData is", lambda t: find(t, "Secret", "ternmq-users").update(stringData={})),
    ("Job/x: Job is", lambda t: t.append({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}})),
    ("there has to be one StatefulSet", lambda t: pod(t)["containers"].append({"name": "x"})),
    ("there has to be one StatefulSet", lambda t: drop(t, "StatefulSet")),
]


def made(things):
    """(what the lint has to say, things with the mistake)"""
    for pattern, mistake in MISTAKES:
        wrong = copy.deepcopy(things)
        mistake(wrong)
        yield pattern, wrong
