"""JSON Web Tokens as passwords: who comes in, for how long, what it may do; keys that change."""
import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import time

import mqtt
import scenario as s
from broker import Broker

SECRET = os.urandom(64)
BAD = 0x86, 4  # bad user name or password, by MQTT 5 and 3.1.1


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*args, data=b""):
    return subprocess.run(["openssl", *map(str, args)], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=True).stdout


def numbers(der):
    """r and s of an ECDSA signature, 32 bytes each: SEQUENCE { INTEGER, INTEGER }."""
    at, out = 2, b""
    for _ in range(2):
        size = der[at + 1]
        out += int.from_bytes(der[at + 2:at + 2 + size], "big").to_bytes(32, "big")
        at += 2 + size
    return out


class Issuer:
    """One key of an algorithm, made by openssl, and tokens by it."""
    MAKE = {"RS256": ("RSA", "rsa_keygen_bits:2048"), "ES256": ("EC", "ec_paramgen_curve:P-256"), "EdDSA": ("ED25519",)}

    def __init__(self, folder, alg, kid):
        self.alg, self.kid, self.file = alg, kid, folder / f"{kid}.key"
        self.folder = folder
        if alg in self.MAKE:
            kind, *option = self.MAKE[alg]
            options = ["-pkeyopt", *option] if option else []
            openssl("genpkey", "-algorithm", kind, *options, "-out", self.file)

    def pem(self):
        return openssl("pkey", "-in", self.file, "-pubout").decode()

    def jwk(self):
        common = {"kid": self.kid, "alg": self.alg, "use": "sig"}
        if self.alg.startswith("HS"):
            return {"kty": "oct", "k": b64(SECRET), **common}
        der = openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER")
        if self.alg == "ES256":
            return {"kty": "EC", "crv": "P-256", "x": b64(der[-64:-32]), "y": b64(der[-32:]), **common}
        if self.alg == "EdDSA":
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(der[-32:]), **common}
        modulus = openssl("rsa", "-pubin", "-inform", "DER", "-noout", "-modulus", data=der).decode()
        return {"kty": "RSA", "n": b64(bytes.fromhex(modulus.split("=")[1].strip())), "e": "AQAB", **common}

    def sign(self, text):
        if self.alg.startswith("HS"):
            return hmac.new(SECRET, text, f"sha{self.alg[2:]}").digest()
        if self.alg == "EdDSA":  # openssl takes it from a file only
            file = self.folder / "text"
            file.write_bytes(text)
            return openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.file, "-in", file)
        signature = openssl("dgst", "-sha256", "-sign", self.file, data=text)
        return numbers(signature) if self.alg == "ES256" else signature

    def token(self, header=None, **claims):
        head = {"alg": self.alg, "kid": self.kid, "typ": "JWT", **(header or {})}
        text = ".".join(b64(json.dumps(part).encode()) for part in (head, claims))
        return text + "." + b64(self.sign(text.encode()))


broker = Broker("sys_interval 1")
issuers = {alg: Issuer(broker.dir, alg, alg.lower()) for alg in ("HS256", "HS512", "RS256", "ES256", "EdDSA")}
keys = broker.dir / "keys.jwks"


def put_keys(text):
    """Takes the place of the file in one step, as tools do that rotate keys."""
    fresh = broker.dir / "fresh"
    fresh.write_text(text)
    os.rename(fresh, keys)


def key_set(*names):
    return json.dumps({"keys": [issuers[name].jwk() for name in names]})


def hour(**claims):
    return {"exp": int(time.time()) + 3600, **claims}


def enter(token, client_id="c", version=mqtt.V5, **kw):
    return mqtt.Client(broker.address).hello(client_id, version, password=token, **kw).expect(mqtt.CONNACK)


def granted(token, **kw):
    return enter(token, **kw).reason == 0


KEYS = "auth_jwt_key_file {}\nauth_jwt_audience mqtt\nauth_jwt_leeway 0\nallow_anonymous false\nsys_interval 1\n"
put_keys(key_set(*issuers))
broker.write_config(KEYS.format(keys))


@s.scenario
def tokens_of_every_algorithm_let_in():
    for issuer in issuers.values():
        assert granted(issuer.token(**hour(sub="ann", aud="mqtt")), user="ann"), issuer.alg
        assert granted(issuer.token(**hour(sub="ann", aud=["shop", "mqtt"])), version=mqtt.V311, user="x"), issuer.alg


@s.scenario
def whoever_has_no_good_token_stays_out():
    hs, rs = issuers["HS256"], issuers["RS256"]
    good = hs.token(**hour(sub="ann", aud="mqtt"))
    bad = {
        "no token": "hunter2",
        "for others": hs.token(**hour(sub="ann", aud="shop")),
        "for nobody": hs.token(**hour(sub="ann")),
        "of nobody": hs.token(**hour(aud="mqtt")),
        "expired": hs.token(sub="ann", aud="mqtt", exp=int(time.time()) - 1),
        "too early": hs.token(**hour(sub="ann", aud="mqtt", nbf=int(time.time()) + 60)),
        "cut": good[:-1],
        "changed": good[:-5] + ("A" if good[-5] != "A" else "B") + good[-4:],
        "unsigned": ".".join([b64(b'{"alg":"none"}'), *good.split(".")[1:2], ""]),
        "another alg": rs.token(header={"alg": "HS256"}, **hour(sub="ann", aud="mqtt")),
        "another key": rs.token(header={"kid": "es256"}, **hour(sub="ann", aud="mqtt")),
        "critical": hs.token(header={"crit": ["exp"]}, **hour(sub="ann", aud="mqtt")),
        "bad acl": hs.token(**hour(sub="ann", aud="mqtt", acl={"publish": ["#"]})),
    }
    for what, token in bad.items():
        for version, reason in zip((mqtt.V5, mqtt.V311), BAD):
            got = enter(token, version=version, user="ann").reason
            assert got == reason, f"{what}, version {version}: {got:#x}"
    assert granted(good, user="ann")


@s.scenario
def mosquitto_clients_do_what_the_acl_says():
    acl = {"pub": ["up/${clientid}/#"], "sub": ["up/+/open", "down/${username}"]}
    token = issuers["ES256"].token(**hour(sub="ann", aud="mqtt", acl=acl))
    other = issuers["ES256"].token(**hour(sub="bob", aud="mqtt", acl=[
        {"permission": "deny", "action": "publish", "topic": "up/bob/secret"},
        {"permission": "allow", "action": "all", "topic": "#"}]))
    sub = s.mosquitto_sub(broker, "-i", "ann1", "-u", "whoever", "-P", token, "-t", "up/#", "-t", "down/ann", "-v")
    for topic in ("up/bob/shut", "up/bob/open", "up/bob/secret", "down/bob", "down/ann"):
        s.mosquitto_pub(broker, "-i", "bob", "-u", "bob", "-P", other, "-t", topic, "-m", "1")
    assert sorted(s.messages(sub, 2)) == ["down/ann 1", "up/bob/open 1"]
    all_sub = s.mosquitto_sub(broker, "-i", "all", "-u", "bob", "-P", other, "-t", "#", "-v")
    for topic in ("up/ann1/a", "up/ann2/a", "down/ann", "up/ann1/b"):
        s.run("mosquitto_pub", "-h", "127.0.0.1", "-p", broker.port, "-i", "ann1", "-u", "ann", "-P", token, "-V", "5",
              "-q", "1", "-t", topic, "-m", "2")
    assert sorted(s.messages(all_sub, 2)) == ["up/ann1/a 2", "up/ann1/b 2"]


@s.scenario
def publishers_and_subscribers_are_told():
    token = issuers["EdDSA"].token(**hour(sub="ann", aud="mqtt", acl={"pub": ["a"], "sub": ["b/#"]}))
    c = mqtt.Client(broker.address).open("told", user="ann", password=token)
    c.send(mqtt.publish("a", qos=1, mid=1), mqtt.publish("b/1", qos=1, mid=2))
    assert [c.expect(mqtt.PUBACK).reason for _ in range(2)] in ([0, 0x87], [0x10, 0x87])
    c.send(mqtt.subscribe(3, [("b/#", 0), ("b/+/x", 1), ("a", 0), ("c/#", 0), ("#", 0)]))
    assert c.expect(mqtt.SUBACK).reasons == [0, 1, 0x87, 0x87, 0]
    c.bye()


@s.scenario
def the_connection_ends_with_its_token():
    end = int(time.time()) + 5
    token = issuers["RS256"].token(sub="ann", aud="mqtt", exp=end)
    v5 = mqtt.Client(broker.address).open("ends5", user="ann", password=token)
    v3 = mqtt.Client(broker.address).open("ends3", mqtt.V311, user="ann", password=token)
    assert v5.expect(mqtt.DISCONNECT).reason == 0xA0  # maximum connect time
    assert end - 0.1 <= time.time() <= end + 10, time.time() - end
    v3.expect_closed()
    assert not granted(token, user="ann")


def reconfigure(config):
    before = broker.log().count("Config reloaded")
    broker.write_config(config)
    broker.signal(signal.SIGHUP)
    s.until(lambda: broker.log().count("Config reloaded") > before)


@s.scenario
def a_claim_binds_the_token_to_its_client():
    reconfigure(KEYS.format(keys) + "auth_jwt_match device %c\nauth_jwt_match sub %u\n")
    token = issuers["HS512"].token(**hour(sub="ann", aud="mqtt", device="d1"))
    assert granted(token, client_id="d1", user="ann")
    assert not granted(token, client_id="d2", user="ann")
    assert not granted(token, client_id="d1", user="bob")
    reconfigure(KEYS.format(keys))
    assert granted(token, client_id="d2", user="bob")


@s.scenario
def keys_are_rotated_while_clients_stay():
    old = issuers["RS256"].token(**hour(sub="ann", aud="mqtt"))
    issuers["next"] = Issuer(broker.dir, "ES256", "next")
    new = issuers["next"].token(**hour(sub="ann", aud="mqtt"))
    stays = mqtt.Client(broker.address).open("stays", user="ann", password=old)
    assert not granted(new, user="ann")
    put_keys(key_set("RS256", "next"))
    s.until(lambda: granted(new, user="ann"))
    assert granted(old, user="ann")
    put_keys(key_set("next"))
    s.until(lambda: not granted(old, user="ann"))
    assert granted(new, user="ann")
    stays.ping()


@s.scenario
def a_bad_key_file_changes_nothing():
    token = issuers["next"].token(**hour(sub="ann", aud="mqtt"))
    put_keys('{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}')
    broker.wait_log("auth_jwt_key_file: .*keys.jwks: no key in it can be used: entry 1 has a secret of 6 bytes")
    assert granted(token, user="ann")
    put_keys(json.dumps({"keys": [issuers["next"].jwk(), {"kty": "AKP"}]}))
    broker.wait_log("Warning: .*keys.jwks: entry 2 has a kty other than oct, RSA, EC and OKP")
    assert granted(token, user="ann")
    put_keys(issuers["EdDSA"].pem())
    s.until(lambda: granted(issuers["EdDSA"].token(**hour(sub="ann", aud="mqtt")), user="ann"))
    assert not granted(token, user="ann")


@s.scenario
def the_log_says_why_and_never_the_token():
    token = issuers["EdDSA"].token(**hour(sub="ann", aud="shop"))
    refused = "refused: bad user name or password: its aud is not auth_jwt_audience"
    before = broker.log().count(refused)

    def told():
        """More than ten such lines a second are only counted, and others may have been refused just now."""
        assert not granted(token, user="ann")
        return broker.log().count(refused) > before
    s.until(told)
    assert token.split(".")[2] not in broker.log() and token.split(".")[1] not in broker.log()


with broker:
    s.main()
