"""SASL mechanisms, both roles: octets in, octets out. No base64, no randomness, no clock (RFC 4422).

The names below are what one logs in with, and what an authenticator or a mechanism of one's own implements. The
mechanisms have a module each; `client_registry` and `server_registry` are the tables of them.
"""

from __future__ import annotations

from .authenticator import (
    AnonymousHost,
    Authenticator,
    Authorizer,
    CertificateVerifier,
    CustomAuthenticator,
    PasswordVerifier,
    ScramKeySource,
    SecretSource,
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
    "TlsInfo",
    "Token",
    "TokenVerifier",
]
