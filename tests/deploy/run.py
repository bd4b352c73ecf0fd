#!/usr/bin/python3
"""run.py - everything of deploy/ that can be tested without a cluster of Kubernetes.

Renders the kustomizations, checks what comes out against types, against each other and against the broker, and runs
the broker as they would, also as pods in a look-alike of Kubernetes. --containers builds the image, too, and runs it
and the pods with podman (minutes; root, Debian's podman, runc, debootstrap). What cannot be tested here is a line that
begins with SKIP and says why.
"""
import argparse
import copy
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "harness")]
sys.dont_write_bytecode = True
import yaml  # noqa: E402

import container  # noqa: E402
import kustomize  # noqa: E402
import live  # noqa: E402
import manifest_lint  # noqa: E402
import mistakes  # noqa: E402
import objects  # noqa: E402
import runtimes  # noqa: E402
import scenarios  # noqa: E402
import typecheck  # noqa: E402
from broker import binary  # noqa: E402
from runtimes import Skip  # noqa: E402

OVERLAYS = ("single", "cluster", "monitoring", "restricted", "autoscaling")
PROFILE = ROOT / "deploy" / "seccomp" / "ternmq.json"


class Suite:
    def __init__(self, work, only, patient=False):
        self.work, self.only, self.passed, self.failed = pathlib.Path(work), only, 0, 0
        self.patient = patient
        self.sets = {}
        self.figures = None

    def check(self, name, function, *args, always=False):
        if not always and not re.search(self.only, name):
            return
        try:
            function(*args)
            self.passed += 1
            print(f"PASS {name}", flush=True)
        except Skip as e:
            print(f"SKIP {name}: {e}", flush=True)
        except Exception as e:  # a check may fail in any way; the others go on
            self.failed += 1
            where = traceback.extract_tb(e.__traceback__)[-1]
            print(f"FAIL {name}: {pathlib.Path(where.filename).name}:{where.lineno}: {e or repr(e)}", flush=True)

    @staticmethod
    def skip(why):
        def function():
            raise Skip(why)
        return function

    def folder(self, name):
        path = self.work / name
        path.mkdir(parents=True)
        return path

    def path_of(self, name):
        deploy = self.work / "deploy"
        return deploy / "seccomp" if name == "seccomp" else deploy / "kubernetes" / "overlays" / name

    # ---- Rendering ----

    def prepare(self):
        shutil.copytree(ROOT / "deploy", self.work / "deploy", ignore=shutil.ignore_patterns(
            *(ROOT / "deploy/kubernetes/.gitignore").read_text().splitlines()[1:]))
        without = self.work / "without"
        shutil.copytree(self.work / "deploy", without)
        live.make_secrets(self.work / "deploy")
        for name in (*OVERLAYS, "seccomp"):
            self.sets[name] = kustomize.render(self.path_of(name))
        for name in OVERLAYS:  # nobody gets a secret that others have, too
            must_refuse(without / "kubernetes" / "overlays" / name, "passwd is missing")

    def renderer_refuses(self):
        folder = self.folder("refused")
        head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        (folder / "a.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 1}]}")
        for text, why in REFUSED:
            (folder / "kustomization.yaml").write_text(head + text)
            must_refuse(folder, why)

    def as_kubectl(self, name):
        if not shutil.which("kubectl"):
            raise Skip("no kubectl on this machine")
        done = subprocess.run(["kubectl", "kustomize", self.path_of(name)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        theirs = {kustomize.identity(t): t for t in yaml.safe_load_all(done.stdout)}
        for thing in theirs.values():
            if thing["kind"] == "Secret":  # it breaks lines in base64
                thing["data"] = {name: "".join(value.split()) for name, value in thing["data"].items()}
        ours = {kustomize.identity(t): t for t in self.sets[name]}
        different = [k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k)]
        assert not different, different

    # ---- What is rendered ----

    def versions(self):
        label = re.search(r'image\.version="(.*)"', (ROOT / "deploy/Dockerfile").read_text())[1]
        assert label == container.VERSION, f"the Dockerfile says {label}"
        for name, things in self.sets.items():
            found = {c["image"] for t in manifest_lint.workloads(things) for c in manifest_lint.all_containers(t)}
            assert found == {f"ternmq:{container.VERSION}"}, f"{name}: {found}"

    def types(self):
        if not typecheck.compiler():
            raise Skip("no types: npm --prefix tests/deploy ci")
        wrong = {"unknown": ("revisionHistory", 5, "does not exist"), "bad": ("replicas", "3", "not assignable")}
        sets = dict(self.sets)
        for name, (field, value, _) in wrong.items():
            sets[name] = copy.deepcopy(self.sets["cluster"])
            mistakes.find(sets[name], "StatefulSet")["spec"][field] = value
        sets["deep"] = copy.deepcopy(self.sets["monitoring"])
        mistakes.rule(sets["deep"])["severity"] = "critical"
        wrong["deep"] = (None, None, "severity\"' does not exist")
        said = typecheck.check(sets, self.work / "types")
        for name in self.sets:
            assert not said[name], f"{name}: {said[name][:1000]}"
        for name, (_, _, why) in wrong.items():
            assert why in said[name], f"the compiler takes a mistake ({name}): {said[name][:500]}"

    def broker_figures(self):
        if self.figures is None:
            with live.Pod(self.sets["restricted"], self.folder("figures")) as pod:
                self.figures = pod.figures()
        return self.figures

    def lint(self, name):
        problems = list(manifest_lint.lint(self.sets[name], self.broker_figures()))
        assert not problems, "\n     ".join(problems)

    def lint_bites(self):
        for pattern, things in mistakes.made(self.sets["autoscaling"]):
            problems = list(manifest_lint.lint(things, self.broker_figures()))
            assert any(re.search(pattern, problem) for problem in problems), f"not found: {pattern}: {problems}"

    def rules(self):
        promtool = shutil.which("promtool")
        if not promtool:
            raise Skip("no promtool (Debian's package prometheus) on this machine")
        folder = self.folder("rules")
        rules = mistakes.find(self.sets["monitoring"], "PrometheusRule")["spec"]
        (folder / "rules.yml").write_text(yaml.safe_dump(rules))
        shutil.copy(HERE / "rules_test.yml", folder)
        for words in (["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]):
            done = subprocess.run([promtool, *words], cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr

    # ---- The broker as it would run ----

    def configuration(self, name):
        live.Pod(self.sets[name], self.folder(f"config-{name}")).test_config()

    def image_configuration(self):
        for anonymous, said in (("true", ""), ("false", "nobody can connect")):
            done = subprocess.run([binary(), "-c", ROOT / "deploy/container.conf", "--test-config"], text=True,
                                  env={**os.environ, "TERNMQ_ALLOW_ANONYMOUS": anonymous}, capture_output=True)
            assert done.returncode == 0 and said in done.stderr and bool(said) == bool(done.stderr), done.stderr

    def image_source(self):
        """What .dockerignore lets through is enough for cmake; no image is needed to see that."""
        folder = self.folder("image-source")
        for line in (ROOT / ".dockerignore").read_text().splitlines():
            if line.startswith("!"):
                source, copy_of = ROOT / line[1:], folder / line[1:]
                copy_of.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if source.is_dir() else shutil.copy)(source, copy_of)
        done = subprocess.run(["cmake", "-S", folder, "-B", folder / "build", "-D", "TERN_PROFILE=release"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-2000:]

    def serves(self, name):
        with live.Pod(self.sets[name], self.folder(f"live-{name}")) as pod:
            for kind in manifest_lint.PROBES:
                assert pod.probe(kind) == 200, (kind, pod.log())
            pod.exchange()

    def refuses_unknown_objects(self):
        for overlay in ("single", "cluster", "restricted"):
            objects.check(self.sets[overlay])
        for path, mistake in mistakes.UNKNOWN:
            things = copy.deepcopy(self.sets["cluster"])
            mistake(things)
            try:
                objects.check(things)
            except objects.Refused as e:
                assert str(e).startswith(path), f"refused for another reason: {e}"
            else:
                raise AssertionError(f"taken, and should be refused: {path}")

    def lives(self, runtime, scenario):
        """What becomes of pods, and of what their clients were promised."""
        why = runtimes.RUNTIMES[runtime].missing()
        if why:
            raise Skip(why)
        folder = self.folder(re.sub(r"\W+", "-", f"{runtime}-{scenario}"))
        (folder / "objects").write_text(json.dumps(self.sets[scenarios.SCENARIOS[scenario][1]]))
        patient = {"TERN_PATIENT": "1"} if self.patient else {}
        with open(folder / "out", "w+", encoding="utf-8") as out:  # no pipe: what outlives it would hold it open
            done = subprocess.run(["unshare", "--net", "/usr/bin/python3", HERE / "scenarios.py", runtime, scenario,
                                   folder / "objects", folder], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                  timeout=900, env={**os.environ, **patient})
            out.seek(0)
            said = out.read()
        if done.returncode == scenarios.CANNOT:
            raise Skip(said.strip().splitlines()[-1])
        assert done.returncode == 0, said[-6000:]
        print(f"     {said.strip()}")

    def confined(self, backend):
        """All that a pod does in its life, each system call beyond the profile ends it."""
        need_seccomp()
        if backend == "uring" and not live.has_uring():
            raise Skip("io_uring is forbidden on this machine")
        folder = self.folder(f"confined-{backend}")
        under = ["/usr/bin/python3", str(HERE / "sandbox.py"), "--strict", str(PROFILE)]
        with live.Pod(self.sets["restricted"], folder, under, {"TERNMQ_IO": backend}) as pod:
            pod.exchange()
        pod.offline("--export", folder / "export.jsonl")
        with pod:  # what is stored is looked at by a process of its own first
            pod.exchange()
            pod.probe("livenessProbe")
            pod.figures()
            pod.file.write_text(pod.file.read_text() + "max_qos 1\n")
            for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
                pod.process.send_signal(number)
            pod.control("reload")
            for _ in range(2):
                pod.control("backup", "--force", folder / "var/lib/ternmq/copy")
            pod.control("cluster")
            pod.exchange()

    def profile_bites(self):
        """A program that wants what the broker does not is told no, or is ended."""
        need_seccomp()
        for options, wanted in (((), 1), (("--strict",), -signal.SIGSYS)):
            done = subprocess.run(["/usr/bin/python3", HERE / "sandbox.py", *options, PROFILE, "/usr/bin/unshare",
                                   "--user", "true"], capture_output=True, text=True)
            assert done.returncode == wanted, (options, done)


def need_seccomp():
    if importlib.util.find_spec("seccomp") is None:
        raise Skip("no python3-seccomp on this machine")


def must_refuse(folder, why):
    try:
        kustomize.render(folder)
    except kustomize.Refused as e:
        assert why in str(e), f"refused for another reason: {e}"
    else:
        raise AssertionError(f"taken, and should be refused: {why}")


REFUSED = [
    ("namePrefix: x-\n", "unknown: namePrefix"),
    ("resources: [a.yaml, a.yaml]\n", "twice"),
    ("resources: [a.yaml]\nlabels: [{pairs: {a: b}, includeSelectors: true}]\n", "unknown: includeSelectors"),
    ("resources: [a.yaml]\nimages: [{name: a, digest: x}]\n", "unknown: digest"),
    ("configMapGenerator: [{name: a, literals: [a=b]}]\n", "a name with a hash"),
    ("generatorOptions: {disableNameSuffixHash: true, immutable: true}\n"
     "configMapGenerator: [{name: a, literals: [a=b]}]\n", "unknown: immutable"),
    ("generatorOptions: {disableNameSuffixHash: true}\nsecretGenerator: [{name: a, envs: [x]}]\n", "unknown: envs"),
    ("generatorOptions: {disableNameSuffixHash: true}\nsecretGenerator: [{name: a, files: [../x]}]\n", "takes files"),
    ("generatorOptions: {disableNameSuffixHash: true}\n"
     "configMapGenerator: [{name: a, behavior: replace, literals: [a=b]}]\n", "it is not there"),
    ("resources: [a.yaml]\npatches: [{patch: '[{op: move, path: /spec}]', target: {kind: Service}}]\n", "op move"),
    ("resources: [a.yaml]\npatches: [{patch: '[{op: remove, path: /spec/x}]', target: {kind: Service}}]\n",
     "is not there"),
    ("resources: [a.yaml]\npatches: [{patch: '[{op: remove, path: /spec}]', target: {kind: Secret}}]\n", "no target"),
    ("resources: [a.yaml]\npatches: [{patch: '[{op: remove, path: /spec}]', target: {labelSelector: a}}]\n",
     "unknown: labelSelector"),
    ("resources: [a.yaml]\npatches: [{patch: '{kind: Service, metadata: {name: a}, spec: {ports: [{port: 1}]}}'}]\n",
     "without port and protocol"),
    ("resources: [a.yaml]\npatches: [{patch: '{kind: Service, metadata: {name: a}, $patch: delete}'}]\n", "$patch"),
]


def check_all(suite, containers):
    suite.check("what the renderer does not know it refuses", suite.renderer_refuses)
    for name in suite.sets:
        suite.check(f"{name}: rendered as kubectl renders it", suite.as_kubectl, name)
    suite.check("images are of this version", suite.versions)
    suite.check("objects have the fields of their types, and no others", suite.types)
    for name in suite.sets:
        suite.check(f"{name}: the objects fit together", suite.lint, name)
    suite.check("the lint finds every kind of mistake", suite.lint_bites)
    suite.check("alerts come when they should", suite.rules)
    suite.check("the image's configuration is one", suite.image_configuration)
    suite.check("the image's source is enough", suite.image_source)
    for name in OVERLAYS:
        suite.check(f"{name}: the configuration is one", suite.configuration, name)
    for name in ("single", "cluster", "restricted"):
        suite.check(f"{name}: the broker serves", suite.serves, name)
    suite.check("the look-alike of Kubernetes refuses what it does not know", suite.refuses_unknown_objects)
    for name in scenarios.SCENARIOS:
        suite.check(f"{name}, and nothing that was acknowledged is lost", suite.lives, "namespaces", name)
    for backend in ("uring", "epoll"):
        suite.check(f"the seccomp profile is enough, with {backend}", suite.confined, backend)
    suite.check("the seccomp profile forbids", suite.profile_bites)
    if containers:
        container.run(suite)
        for name in scenarios.SCENARIOS:
            suite.check(f"{name}, with podman, and nothing that was acknowledged is lost", suite.lives, "podman", name)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", metavar="REGEX", default="", help="only checks whose name matches")
    parser.add_argument("--containers", action="store_true", help="build the image, and run it")
    parser.add_argument("--patient", action="store_true", help="pods wait as long as the manifests say: minutes more")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tern-deploy-") as work:
        suite = Suite(work, options.k, options.patient)
        suite.check("the kustomizations are rendered, and none without its secrets", suite.prepare, always=True)
        if not suite.failed:
            check_all(suite, options.containers)
    print(f"deployment: {suite.passed} passed, {suite.failed} failed")
    return 1 if suite.failed else 0


if __name__ == "__main__":
    sys.exit(main())
