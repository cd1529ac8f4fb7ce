"""SASL mechanisms for clients and servers (RFC 4422): octets in, octets out. No base64, no randomness, no clock.

This package exports the credentials that a client logs in with, the protocols that authenticators and mechanisms of
your own implement, and the registries of mechanisms: `CLIENT_MECHANISMS` and `SERVER_MECHANISMS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from .authenticator import (
        AnonymousHost,
        Authenticator,
        Authorizer,
        CertificateVerifier,
        CustomAuthenticator,
        PasswordVerifier,
        ScramKeySource,
        SecretSource,
        SupportsSessionEnded,
        TokenVerifier,
    )
    from .channel import ChannelBinding, SessionInfo, TlsInfo
    from .credentials import Anonymous, ClientCertificate, Credentials, Password, Token
    from .mechanism import ClientMechanism, CredentialsRejected, Identity, MechanismError, ServerMechanism, Strength
    from .registry import (
        CLIENT_MECHANISMS,
        SERVER_MECHANISMS,
        ClientContext,
        ClientEntry,
        ClientMechanisms,
        ServerContext,
        ServerEntry,
        ServerMechanisms,
    )
    from .scram.keys import ScramKeys

__all__ = [
    "CLIENT_MECHANISMS",
    "SERVER_MECHANISMS",
    "Anonymous",
    "AnonymousHost",
    "Authenticator",
    "Authorizer",
    "CertificateVerifier",
    "ChannelBinding",
    "ClientCertificate",
    "ClientContext",
    "ClientEntry",
    "ClientMechanism",
    "ClientMechanisms",
    "Credentials",
    "CredentialsRejected",
    "CustomAuthenticator",
    "Identity",
    "MechanismError",
    "Password",
    "PasswordVerifier",
    "ScramKeySource",
    "ScramKeys",
    "SecretSource",
    "ServerContext",
    "ServerEntry",
    "ServerMechanism",
    "ServerMechanisms",
    "SessionInfo",
    "Strength",
    "SupportsSessionEnded",
    "TlsInfo",
    "Token",
    "TokenVerifier",
]

export(
    globals(),
    {
        ".authenticator": (
            "AnonymousHost Authenticator Authorizer CertificateVerifier CustomAuthenticator PasswordVerifier "
            "ScramKeySource SecretSource SupportsSessionEnded TokenVerifier"
        ),
        ".channel": "ChannelBinding SessionInfo TlsInfo",
        ".credentials": "Anonymous ClientCertificate Credentials Password Token",
        ".mechanism": "ClientMechanism CredentialsRejected Identity MechanismError ServerMechanism Strength",
        ".registry": (
            "CLIENT_MECHANISMS SERVER_MECHANISMS ClientContext ClientEntry ClientMechanisms ServerContext "
            "ServerEntry ServerMechanisms"
        ),
        ".scram.keys": "ScramKeys",
    },
)
