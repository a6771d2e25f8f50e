"""JSON Web Tokens: which hold, by which keys, and what becomes of calls while the issuer is away."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from fovea.errors import DataInvalid, SettingsInvalid, Unavailable
from fovea.settings import load
from server.access import keys as keys_module
from server.access.access import Access, access_of, kind_of
from server.access.keys import COOLDOWN_S, REFRESH_S, IssuersKeys, KeyFile, fetch
from server.access.scopes import Scope
from server.access.tokens import Token
from server.access.watched_file import MAX_FILE_BYTES
from server.access.web_tokens import LEEWAY_S, WebTokens
from server.config import PROGRAM, ServeSettings
from server.errors import KeysUnreachable, PermissionDenied, Unauthenticated
from tests.server.access.test_access import bearing
from tests.server.event_loop import in_event_loop, until

ISSUER, AUDIENCE = "https://issuer.example", "fovea"
FIRST: Final = ec.generate_private_key(ec.SECP256R1())
SECOND: Final = ec.generate_private_key(ec.SECP256R1())


def public(key: Any, key_id: str | None, **members: Any) -> dict[str, Any]:
    algorithms: dict[type, Any] = {
        ec.EllipticCurvePrivateKey: ECAlgorithm,
        rsa.RSAPrivateKey: RSAAlgorithm,
        Ed25519PrivateKey: OKPAlgorithm,
    }
    (kind,) = (each for base, each in algorithms.items() if isinstance(key, base))
    described = dict(kind.to_jwk(key.public_key(), as_dict=True))
    return {**described, **({"kid": key_id} if key_id else {}), **members}


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


FIRST_SET: Final = key_set(public(FIRST, "first"))
BOTH: Final = key_set(public(FIRST, "first"), public(SECOND, "second"))


def signed(key: Any = FIRST, key_id: str | None = "first", algorithm: str = "ES256", **claims: Any) -> str:
    """A good token, but for what is said of it; a claim that is None is left out."""
    default = {"iss": ISSUER, "aud": AUDIENCE, "sub": "nightly", "exp": time.time() + 300}
    payload = {name: value for name, value in {**default, **claims}.items() if value is not None}
    return jwt.encode(payload, key, algorithm, headers={"kid": key_id} if key_id else None)


def file_of(folder: Path, contents: bytes) -> Path:
    path = folder / "jwks.json"
    path.write_bytes(contents)
    return path


@in_event_loop
async def test_a_token_of_the_issuer_for_this_audience_may_classify(tmp_path: Path) -> None:
    strong = rsa.generate_private_key(65537, 2048)
    edwards = Ed25519PrivateKey.generate()
    path = file_of(
        tmp_path,
        key_set(
            public(FIRST, "first"),
            public(strong, "rsa"),
            public(edwards, "edwards", use="sig"),
            public(SECOND, None),
            {"kty": "future"},
            {"kty": "RSA", "n": 5, "e": []},
        ),
    )
    tokens = WebTokens(KeyFile(path), ISSUER, AUDIENCE)
    for token in (
        signed(),
        signed(aud=["other", AUDIENCE]),
        signed(strong, "rsa", "RS256"),
        signed(edwards, "edwards", "EdDSA"),
        signed(SECOND, None),
        signed(exp=time.time() - LEEWAY_S / 2),
        signed(nbf=time.time() + LEEWAY_S / 2),
    ):
        caller = await tokens.find(token)
        assert (caller.name, caller.scopes) == ("nightly", frozenset([Scope.CLASSIFY]))
    for granted in ({"scope": "openid admin metrics"}, {"scp": ["admin", "metrics"]}):
        assert (await tokens.find(signed(**granted))).scopes == {*Scope}
    assert (await tokens.find(signed(scope="metrics"))).scopes == {Scope.CLASSIFY, Scope.METRICS}
    for other in ({"scope": "administrator"}, {"scope": 7}, {"scp": {"admin": 1}}, {"roles": ["admin"]}):
        assert (await tokens.find(signed(**other))).scopes == {Scope.CLASSIFY}
    named = await tokens.find(signed(sub="a\nline" + "x" * 1000))
    assert "\n" not in named.name
    assert len(named.name) <= 100


@in_event_loop
async def test_no_other_token_holds(tmp_path: Path) -> None:
    weak = rsa.generate_private_key(65537, 1024)
    shared = "a-secret-that-both-sides-know-of-32-bytes"
    path = file_of(
        tmp_path,
        key_set(
            public(FIRST, "first"),
            public(SECOND, "enc", use="enc"),
            public(weak, "weak"),
            {"kty": "oct", "kid": "shared", "k": "YS1zZWNyZXQtdGhhdC1ib3RoLXNpZGVzLWtub3ctb2YtMzItYnl0ZXM"},
        ),
    )
    tokens = WebTokens(KeyFile(path), ISSUER, AUDIENCE)
    pem = FIRST.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    good = signed()
    head, body, signature = good.split(".")
    for token in (
        signed(iss="https://other.example"),
        signed(iss=None),
        signed(aud="other"),
        signed(aud=None),
        signed(sub=None),
        signed(exp=None),
        signed(exp=time.time() - 2 * LEEWAY_S),
        signed(nbf=time.time() + 2 * LEEWAY_S),
        signed(exp="soon"),
        signed(SECOND, "first"),
        signed(SECOND, "enc"),
        signed_weakly(weak),
        signed(FIRST, "unknown"),
        signed(FIRST, None),
        signed(shared, "shared", "HS256"),
        signed("", "first", "none"),
        forged_with_the_public_key(pem),
        f"{head}.{body}.",
        f"{head}.{body[:-2]}.{signature}",
        f"{head}.{body}.{signature[:-2]}",
        f"{'e30' * 100}.{body}.{signature}",
        "..",
    ):
        with pytest.raises(Unauthenticated) as raised:
            await tokens.find(token)
        assert token not in str(raised.value) or token == ".."
    assert (await tokens.find(good)).name == "nightly"


def signed_weakly(key: rsa.RSAPrivateKey) -> str:
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        return signed(key, "weak", "RS256")


def forged_with_the_public_key(pem: bytes) -> str:
    """Signed by HS256, with what everybody knows for the secret."""

    def part(value: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": time.time() + 300}
    content = part({"alg": "HS256", "kid": "first"}) + b"." + part(claims)
    signature = base64.urlsafe_b64encode(hmac.digest(pem, content, hashlib.sha256)).rstrip(b"=")
    return (content + b"." + signature).decode()


@in_event_loop
async def test_a_token_that_was_good_is_asked_again_when_it_expires_or_the_keys_change(
    tmp_path: Path,
) -> None:
    now, times = time.time(), [0.0]
    path = file_of(tmp_path, FIRST_SET)
    tokens = WebTokens(KeyFile(path, lambda: times[0]), ISSUER, AUDIENCE, lambda: now + times[0])
    token, long_lived = signed(exp=now - LEEWAY_S + 5), signed()
    for each in (token, long_lived):
        await tokens.find(each)
    path.unlink()
    await tokens.find(long_lived)
    times[0] = 4
    await tokens.find(token)
    path.write_bytes(key_set(public(SECOND, "second")))
    times[0] = 6
    with pytest.raises(Unauthenticated, match="a key that is not known"):
        await tokens.find(long_lived)


class Issuer:
    """What a key set's address answers, and when; counts how often it was asked."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.asked = 0
        self.gate = threading.Event()
        self.gate.set()
        self.now = 1000.0

    def __call__(self) -> bytes:
        self.asked += 1
        assert self.gate.wait(20)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def clock(self) -> float:
        return self.now


@in_event_loop
async def test_a_rotated_key_is_taken_at_once_and_no_call_is_refused_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keys_module, "COOLDOWN_S", 0.01)
    issuer = Issuer(FIRST_SET)
    keys = IssuersKeys(issuer)
    tokens = WebTokens(keys, ISSUER, AUDIENCE)
    await asyncio.gather(*(tokens.find(signed()) for _ in range(20)))
    assert issuer.asked == 1
    issuer.gate.clear()
    early = asyncio.create_task(keys.find("unknown"))
    await until(lambda: issuer.asked == 2)
    issuer.answer = BOTH  # after that was asked; who comes now wants another answer than this one's
    late = [asyncio.create_task(tokens.find(signed(SECOND, "second"))) for _ in range(20)]
    known = asyncio.create_task(tokens.find(signed(sub="goes on")))
    assert (await known).name == "goes on"  # while the issuer is asked
    issuer.gate.set()
    assert {(await each).name for each in late} == {"nightly"}
    assert await early is None
    assert issuer.asked == 3


@in_event_loop
async def test_while_the_issuer_is_away_the_keys_that_it_gave_last_hold(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "COOLDOWN_S", 0)
    issuer = Issuer(OSError("no route to host"))
    keys = IssuersKeys(issuer, issuer.clock)
    tokens = WebTokens(keys, ISSUER, AUDIENCE)

    def has_been_asked(times: int) -> bool:
        return issuer.asked == times and keys._asking is None

    with pytest.raises(KeysUnreachable):  # nothing is known yet
        await tokens.find(signed())
    issuer.answer = FIRST_SET
    issuer.now += COOLDOWN_S
    assert (await tokens.find(signed())).name == "nightly"
    for failure in (OSError("away"), b"<html>", b'{"keys": []}', b"[" * 10_000):
        issuer.answer = failure
        issuer.now += REFRESH_S + 1
        asked = issuer.asked
        assert (await tokens.find(signed(sub=f"{asked}"))).name == f"{asked}"
        await until(partial(has_been_asked, asked + 1))
        issuer.now += 1
        assert (await tokens.find(signed(sub=f"{asked} again"))).name
        with pytest.raises(KeysUnreachable):
            await tokens.find(signed(SECOND, "second"))
    issuer.answer = key_set(public(SECOND, "second"))
    issuer.now += 1
    assert (await tokens.find(signed(SECOND, "second"))).name == "nightly"
    with pytest.raises(Unauthenticated):
        await tokens.find(signed())
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["the issuer's keys cannot be had: the old ones are kept"] * 2


@in_event_loop
async def test_a_key_that_is_withdrawn_holds_no_longer_although_only_known_tokens_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keys_module, "COOLDOWN_S", 0)
    issuer = Issuer(BOTH)
    keys = IssuersKeys(issuer, issuer.clock)
    tokens = WebTokens(keys, ISSUER, AUDIENCE)
    token = signed()
    await tokens.find(token)
    assert (issuer.asked, keys.changes) == (1, 1)
    issuer.now += REFRESH_S + 1
    await tokens.find(token)
    await until(lambda: issuer.asked == 2 and keys._asking is None)
    assert keys.changes == 1  # the same came again, and no token need be checked anew
    issuer.answer = key_set(public(SECOND, "second"))
    await tokens.find(token)
    assert keys._asking is None
    issuer.now += REFRESH_S + 1
    await tokens.find(token)  # is not held up
    await until(lambda: issuer.asked == 3 and keys._asking is None)
    assert keys.changes == 2
    with pytest.raises(Unauthenticated, match="a key that is not known"):
        await tokens.find(token)


@in_event_loop
async def test_an_issuer_that_never_answers_is_away_and_asked_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "FETCH_S", 0.05)
    monkeypatch.setattr(keys_module, "COOLDOWN_S", 0)
    issuer = Issuer(FIRST_SET)
    issuer.gate.clear()
    keys = IssuersKeys(issuer)
    with pytest.raises(KeysUnreachable):
        await asyncio.wait_for(keys.find("first"), 10)
    assert [vars(record)["error"] for record in caplog.records if record.levelname == "WARNING"] == [
        "no answer after 0.05 s"
    ]
    monkeypatch.setattr(keys_module, "FETCH_S", 5)
    issuer.gate.set()
    assert await keys.find("first") is not None


@in_event_loop
async def test_keys_that_are_made_up_ask_the_issuer_once_in_a_while_and_few_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keys_module, "MAX_WAITING", 5)
    issuer = Issuer(FIRST_SET)
    issuer.gate.clear()
    keys = IssuersKeys(issuer)
    waiting = [asyncio.create_task(keys.find(f"made up {number}")) for number in range(5)]
    await until(lambda: issuer.asked == 1)
    with pytest.raises(Unauthenticated, match="not known here"):
        await keys.find("one more")
    waiting.pop().cancel()  # its caller went away; the others still get their answer
    issuer.gate.set()
    assert await asyncio.gather(*waiting) == [None] * 4
    started = time.monotonic()
    assert await keys.find("later") is None
    assert time.monotonic() - started > COOLDOWN_S / 2
    assert issuer.asked == 2


@contextmanager
def issuing(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/jwks"
    finally:
        server.shutdown()
        server.server_close()


def test_an_address_answers_in_time_with_so_much_and_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "FETCH_S", 0.3)
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}

    def say(handler: BaseHTTPRequestHandler, status: int = 200, body: bytes = FIRST_SET) -> None:
        handler.send_response(status)
        if status == 302:
            handler.send_header("Location", "/other")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(100):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.02)
        except OSError:
            pass

    answers = {
        "HTTP Error 302": lambda handler: say(handler, 302, b""),
        "HTTP Error 503": lambda handler: say(handler, 503, b""),
        "more than": lambda handler: say(handler, body=b" " * (MAX_FILE_BYTES + 1)),
        "not all was there": drip,
    }
    with issuing(say) as url:
        assert fetch(url) == FIRST_SET
    with pytest.raises(OSError, match="refused"):
        fetch(url)
    for complaint, answer in answers.items():
        with issuing(answer) as url, pytest.raises((OSError, DataInvalid), match=complaint):
            fetch(url)


def settings(*arguments: str) -> ServeSettings:
    return load(ServeSettings, ["--models", "models/pets", *arguments], PROGRAM)


def test_what_is_of_no_use_is_refused_at_the_start(tmp_path: Path) -> None:
    rest = ("--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE)
    for given, complaint in (
        (rest, "--jwt-issuer needs --jwt-jwks beside it"),
        (("--jwt-jwks", "a", *rest[:2]), "--jwt-jwks needs --jwt-audience beside it"),
        *(
            (("--jwt-jwks", url, *rest), "--jwt-jwks .*: must be a file or https://")
            for url in (
                "http://issuer.example/jwks",
                "ftp://x/y",
                "https://",
                "http://localhost@evil.example/",
            )
        ),
    ):
        with pytest.raises(SettingsInvalid, match=f"^{complaint}"):
            settings(*given)
    path = file_of(tmp_path, b"{}")
    for contents, complaint in (
        (b"{}", ": is no JSON Web Key Set"),
        (b"[]", ": is no JSON Web Key Set"),
        (b'{"keys": 7}', ": is no JSON Web Key Set"),
        (b"\xff", ": is no JSON Web Key Set"),
        (b"[" * 100_000, ": is no JSON Web Key Set"),
        (key_set({"kty": "oct", "kid": "a", "k": "YQ"}), ": holds no public key for ES256"),
    ):
        path.write_bytes(contents)
        with pytest.raises(DataInvalid, match=f"^--jwt-jwks {path}{complaint}"):
            access_of(settings("--jwt-jwks", str(path), *rest))
    with pytest.raises(Unavailable, match="cannot be read"):
        access_of(settings("--jwt-jwks", str(tmp_path / "none"), *rest))


@in_event_loop
async def test_both_kinds_of_tokens_are_taken_beside_each_other(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(Token.of("plain", "ops", [Scope.ADMIN]).line)
    web = (
        "--jwt-jwks",
        str(file_of(tmp_path, FIRST_SET)),
        "--jwt-issuer",
        ISSUER,
        "--jwt-audience",
        AUDIENCE,
    )
    access = access_of(settings("--token-file", str(tmp_path / "tokens"), *web))
    assert kind_of(access) == "tokens+jwt"
    assert kind_of(access_of(settings(*web))) == "jwt"
    assert isinstance(access, Access)
    assert await access.check("RepositoryModelLoad", bearing("plain")) == "ops"
    assert await access.check("Classify", bearing(signed())) == "nightly"
    assert await access.check("RepositoryModelLoad", bearing(signed(scope="admin"))) == "nightly"
    with pytest.raises(PermissionDenied):
        await access.check("RepositoryModelLoad", bearing(signed()))
    with pytest.raises(Unauthenticated, match="none of those that are known"):
        await access.check("Classify", bearing("other"))
