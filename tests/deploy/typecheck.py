"""typecheck.py - rendered objects against the TypeScript types of Kubernetes and of the Prometheus operator.

An object literal with a field that its type does not have is an error of the compiler, as is a missing or wrong one.
"""
import json
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
OPERATOR = "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"
CORE = "kubernetes-types/core/v1"
TYPES = {  # (apiVersion, kind): module, type
    ("v1", "Namespace"): (CORE, "Namespace"),
    ("v1", "ServiceAccount"): (CORE, "ServiceAccount"),
    ("v1", "ConfigMap"): (CORE, "ConfigMap"),
    ("v1", "Secret"): (CORE, "Secret"),
    ("v1", "Service"): (CORE, "Service"),
    ("apps/v1", "StatefulSet"): ("kubernetes-types/apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"): ("kubernetes-types/apps/v1", "DaemonSet"),
    ("policy/v1", "PodDisruptionBudget"): ("kubernetes-types/policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "NetworkPolicy"): ("kubernetes-types/networking/v1", "NetworkPolicy"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"): ("kubernetes-types/autoscaling/v2", "HorizontalPodAutoscaler"),
    ("monitoring.coreos.com/v1", "PodMonitor"): (f"{OPERATOR}/PodMonitor", "IPodMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"): (f"{OPERATOR}/PrometheusRule", "IPrometheusRule"),
}


def compiler():
    """None: npm ci was not run."""
    tsc = HERE / "node_modules/typescript/bin/tsc"
    return tsc if tsc.exists() else None


def source(things):
    lines = []
    for n, thing in enumerate(things):
        key = thing["apiVersion"], thing["kind"]
        assert key in TYPES, f"no type is known for {key}"
        module, name = TYPES[key]
        # Required, since the types have kind and apiVersion optional and every file must have them.
        lines += [f'import type {{ {name} as T{n} }} from "{module}";',
                  f"export const o{n}: T{n} & {{ apiVersion: string; kind: string }} = {json.dumps(thing)};"]
    return "\n".join(lines) + "\n"


def check(sets, folder):
    """{name of a set: what the compiler says of it, or ""}. folder: a new one, where TypeScript finds the types."""
    folder.mkdir(parents=True)
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    for name, things in sets.items():
        (folder / f"{name}.ts").write_text(source(things))
    (folder / "tsconfig.json").write_text(json.dumps({
        "compilerOptions": {"strict": True, "noEmit": True, "skipLibCheck": True, "types": [], "target": "es2022",
                            "module": "esnext", "moduleResolution": "bundler"},
        "files": [f"{name}.ts" for name in sets]}))
    (folder / "package.json").write_text('{"type": "module"}\n')
    done = subprocess.run(["node", compiler(), "-p", folder, "--pretty", "false"], capture_output=True, text=True)
    said = {name: [line for line in done.stdout.splitlines() if f"/{name}.ts(" in line] for name in sets}
    assert done.returncode == 0 or any(said.values()), f"the compiler fails: {done.stdout[:2000]}{done.stderr[:2000]}"
    return {name: "\n".join(lines) for name, lines in said.items()}
