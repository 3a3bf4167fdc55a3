"""TLS contexts (PS3.15 B.12, the BCP 195 profile of RFC 8996 and RFC 9325).

TLS 1.2 at least, 1.3 by preference, ephemeral elliptic-curve keys with authenticated ciphers
only, RSA keys from 2048 bit; no compression, renegotiation or session tickets. A client always
verifies chain and host name: there is no switch to turn that off. To take renewed certificates
into use, build a new context the same way: whoever connects later gets it, a pair that does not
match raises and the old context stays in force.
"""

from __future__ import annotations

import ssl
from typing import Any

from router.model.station import TlsProfile

_TLS_1_2_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
_CLIENT_AUTH = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_ATTRIBUTES = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "domainComponent": "DC",
}


def server_context(profile: TlsProfile) -> ssl.SSLContext:
    """The context of a listener; `client_auth` says what it asks of its peers.

    Raises ValueError, naming profile and file, when a certificate, key or authority is missing,
    unreadable or does not fit.
    """
    if profile.cert is None:
        raise ValueError(
            f"TLS profile {profile.name!r} has no certificate, and a listener needs one"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    _restrict(context)
    _load_certificate(context, profile)
    context.verify_mode = _CLIENT_AUTH[profile.client_auth]
    if profile.client_auth != "none":
        if profile.ca is None:
            raise ValueError(
                f"TLS profile {profile.name!r} asks for client certificates without a ca"
            )
        _load_authorities(context, profile)
    return context


def client_context(profile: TlsProfile) -> ssl.SSLContext:
    """The context to connect with; without `ca` the system's authorities are trusted.

    Raises ValueError as `server_context` does.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    _restrict(context)
    if profile.cert is not None:
        _load_certificate(context, profile)
    if profile.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_authorities(context, profile)
    return context


def subject_of(sock: ssl.SSLSocket) -> str | None:
    """The verified client certificate in one line, or None where there is none.

    `CN=CT1,O=Clinic; DNS:ct1.clinic.example; URI:urn:dicom:CT1`: the subject as in RFC 4514 but in
    the certificate's order, then each subject alternative name. Control characters become `?`.
    """
    certificate: dict[str, Any] | None = sock.getpeercert()
    if not certificate:
        return None
    subject = ",".join(
        f"{_ATTRIBUTES.get(name, name)}={value}"
        for relative in certificate.get("subject", ())
        for name, value in relative
    )
    names = (f"{kind}:{value}" for kind, value in certificate.get("subjectAltName", ()))
    line = "; ".join((subject, *names))
    return "".join(char if char.isprintable() else "?" for char in line)


def _restrict(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS_1_2_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET


def _load_certificate(context: ssl.SSLContext, profile: TlsProfile) -> None:
    assert profile.cert is not None
    try:
        context.load_cert_chain(profile.cert, profile.key, password=_no_password)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"TLS profile {profile.name!r}: cannot use certificate {profile.cert} "
            f"with key {profile.key or profile.cert}: {_reason(error)}"
        ) from error


def _load_authorities(context: ssl.SSLContext, profile: TlsProfile) -> None:
    assert profile.ca is not None
    try:
        context.load_verify_locations(profile.ca)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"TLS profile {profile.name!r}: cannot use ca {profile.ca}: {_reason(error)}"
        ) from error


def _no_password() -> str:
    """Without this OpenSSL would ask for the password of an encrypted key at the terminal."""
    raise ValueError("the key is encrypted; a key without a password is needed")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and getattr(error, "reason", None):
        return error.reason.lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
