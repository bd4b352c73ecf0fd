"""scram.py - the client's side of SCRAM [RFC 5802] [RFC 7677], by hashlib alone."""
import base64
import hashlib
import hmac
import os

HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


class Client:
    def __init__(self, method, user, password):
        self.hash = HASHES[method]
        self.password = password.encode()
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        name = user.replace("=", "=3D").replace(",", "=2C")
        self.bare = f"n={name},r={self.nonce}"

    def first(self):
        return ("n,," + self.bare).encode()

    def _hmac(self, key, text):
        return hmac.new(key, text, self.hash).digest()

    def final(self, server_first):
        """The answer to the server's first message."""
        text = server_first.decode()
        fields = dict(field.split("=", 1) for field in text.split(","))
        assert fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce)
        salted = hashlib.pbkdf2_hmac(self.hash, self.password, base64.b64decode(fields["s"]), int(fields["i"]))
        without = f"c=biws,r={fields['r']}"
        message = f"{self.bare},{text},{without}".encode()
        client_key = self._hmac(salted, b"Client Key")
        signature = self._hmac(hashlib.new(self.hash, client_key).digest(), message)
        self.server = self._hmac(self._hmac(salted, b"Server Key"), message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        return f"{without},p={base64.b64encode(proof).decode()}".encode()

    def check(self, server_final):
        """The server knows the password, too."""
        assert server_final == b"v=" + base64.b64encode(self.server), server_final
