"""TLS on the ports of the calls: a certificate and its key, and who may call; read again when they change."""

import logging
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import grpc

from fovea.errors import DataInvalid, FoveaError, Unavailable
from server.config import ServeSettings

logger = logging.getLogger(__name__)


class Certificates:
    """The PEM files that the server shows to callers, and those of the callers' authority under mTLS.

    Whoever replaces the files on disk (Kubernetes swaps a link, others write in place) need not restart
    the server: a new connection gets what is there, once it is whole and fits together.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        """Raises Unavailable for a file that cannot be read, DataInvalid for one that is of no use."""
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._lock = threading.Lock()
        self._served = self._read_whole()
        self._complaint = ""

    @property
    def kind(self) -> str:
        """`tls`, or `mtls` where callers show a certificate too."""
        return "tls" if self._client_ca is None else "mtls"

    def credentials(self) -> grpc.ServerCredentials:
        """What gRPC asks for each new connection."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._served),
            self._replaced,  # type: ignore[arg-type]  # the stubs do not know that None is allowed
            require_client_authentication=self._client_ca is not None,
        )

    def context(self) -> ssl.SSLContext:
        """For an HTTP server. Each handshake takes what the files hold then, as with `credentials`.

        It is for one of the two: a change is told once.
        """
        self._newest = first = self._context_of_files()
        first.sni_callback = self._take_newest  # which OpenSSL asks whether or not the caller names a host
        return first

    def _take_newest(self, connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        if self._replaced() is not None:
            with suppress(OSError):  # they change once more: the next handshake finds that
                self._newest = self._context_of_files()
        connection.context = self._newest

    def _context_of_files(self) -> ssl.SSLContext:
        context = _context()
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self._certificate, self._key, password="")
        if self._client_ca is not None:
            context.load_verify_locations(cafile=self._client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _replaced(self) -> grpc.ServerCertificateConfiguration | None:
        """None while nothing changed; called from gRPC's threads, before each handshake.

        Compares contents: three small files cost a hundredth of the handshake, and times can lie.
        """
        with self._lock:
            try:
                if self._read() == self._served:
                    self._complaint = ""
                    return None
                self._served = self._read_whole()
            except FoveaError as error:
                self._complain(str(error))
                return None
            self._complaint = ""
            logger.info("certificate replaced", extra={"path": str(self._certificate)})
            return _configuration(self._served)

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            logger.warning("the old certificate is kept", extra={"error": complaint})
        self._complaint = complaint

    def _read_whole(self) -> "_Pem":
        """Reads until the files are the same before and after they were checked."""
        pem, before = self._read(), None
        while pem != before:
            self._check()
            pem, before = self._read(), pem
        return pem

    def _read(self) -> "_Pem":
        return _Pem(
            _contents("--tls-cert", self._certificate),
            _contents("--tls-key", self._key),
            None if self._client_ca is None else _contents("--tls-client-ca", self._client_ca),
        )

    def _check(self) -> None:
        _check_certificates("--tls-cert", self._certificate)
        if self._client_ca is not None:
            _check_certificates("--tls-client-ca", self._client_ca)
        try:
            # A password is given so that an encrypted key does not ask for one on the terminal.
            _context().load_cert_chain(self._certificate, self._key, password="")
        except ssl.SSLError as error:
            why = _REASONS.get(error.reason, "is not a PEM private key without a password")
            raise DataInvalid(f"--tls-key {self._key}: {why} (--tls-cert {self._certificate})") from error
        except OSError as error:
            raise _unreadable("--tls-key", self._key, error) from error


def certificates_of(settings: ServeSettings) -> Certificates | None:
    """None where the settings ask for no TLS. Raises Unavailable, DataInvalid."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Certificates(settings.tls_cert, settings.tls_key, settings.tls_client_ca)


class _Pem(NamedTuple):
    certificate: bytes
    key: bytes
    client_ca: bytes | None


_REASONS: Final = {
    **dict.fromkeys(
        ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"),
        "does not belong to the certificate",
    ),
    "EE_KEY_TOO_SMALL": "is too short to be safe, as is the certificate's",
    "CA_MD_TOO_WEAK": "belongs to a certificate whose signature is too weak to be safe",
}


def _configuration(pem: _Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.certificate)], pem.client_ca)


def _contents(option: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(option, path, error) from error


def _check_certificates(option: str, path: Path) -> None:
    context = _context()
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise DataInvalid(f"{option} {path}: is not a file of PEM certificates") from error
    except OSError as error:
        raise _unreadable(option, path, error) from error
    if not context.cert_store_stats()["x509"]:  # OpenSSL is content with a list of revoked ones
        raise DataInvalid(f"{option} {path}: holds no PEM certificate")


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def _unreadable(option: str, path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"{option} {path}: cannot be read: {error.strerror}")
