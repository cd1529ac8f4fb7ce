"""The channel binding tls-server-end-point (RFC 5929 section 4)."""

import datetime as dt
import functools
import hashlib

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given, strategies as st

from pop3proto.sasl.channel import ChannelBinding, server_end_point

FUNCTIONS = [
    hashes.SHA224(),
    hashes.SHA256(),
    hashes.SHA384(),
    hashes.SHA512(),
    hashes.SHA3_224(),
    hashes.SHA3_256(),
    hashes.SHA3_384(),
    hashes.SHA3_512(),
]
RSA_SHA256 = bytes.fromhex("2a864886f70d01010b")  # 1.2.840.113549.1.1.11
ECDSA_SHA256 = bytes.fromhex("2a8648ce3d040302")  # 1.2.840.10045.4.3.2


@functools.cache
def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certify(key, function, **options):
    """A certificate, DER, that signs itself."""
    name = x509.Name([])
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        not_valid_after=dt.datetime(2040, 1, 1, tzinfo=dt.UTC),
    )
    return builder.sign(key, function, **options).public_bytes(Encoding.DER)


@functools.cache
def ecdsa_certificate():
    return certify(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())


def wanted(certificate):
    """The binding, by what `cryptography` reads in a certificate."""
    function = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    if isinstance(function, hashes.MD5 | hashes.SHA1):
        function = hashes.SHA256()
    digest = hashes.Hash(function)
    digest.update(certificate)
    return ChannelBinding("tls-server-end-point", digest.finalize())


# ----------------------------------------------------------------------------------- real certificates


def test_a_certificate_of_trustme():
    pem = trustme.CA().issue_cert("pop.example.com").cert_chain_pems[0].bytes()
    certificate = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    binding = server_end_point(certificate)
    assert binding == wanted(certificate)
    assert binding == ChannelBinding("tls-server-end-point", hashlib.sha256(certificate).digest())


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
class TestSignatures:
    def test_rsa(self, function):
        certificate = certify(rsa_key(), function)
        assert server_end_point(certificate) == wanted(certificate)

    def test_rsa_with_pss(self, function):
        certificate = certify(rsa_key(), function, rsa_padding=padding.PSS(padding.MGF1(function), 20))
        assert server_end_point(certificate) == wanted(certificate)

    def test_ecdsa(self, function):
        certificate = certify(ec.generate_private_key(ec.SECP256R1()), function)
        assert server_end_point(certificate) == wanted(certificate)


@pytest.mark.parametrize(
    "identifier",
    [
        pytest.param("2a864886f70d010104", id="md5WithRSAEncryption"),
        pytest.param("2a864886f70d010105", id="sha1WithRSAEncryption"),
    ],
)
def test_for_md5_and_sha_1_there_is_sha_256(identifier):
    # Nobody signs so any more: the name of the signature is changed behind it.
    certificate = certify(rsa_key(), hashes.SHA256()).replace(RSA_SHA256, bytes.fromhex(identifier))
    assert x509.load_der_x509_certificate(certificate).signature_hash_algorithm.name in {"md5", "sha1"}
    binding = server_end_point(certificate)
    assert binding == wanted(certificate)
    assert binding.octets == hashlib.sha256(certificate).digest()


@pytest.mark.parametrize("module", [ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey])
def test_without_a_hash_function_it_is_not_defined(module):
    assert server_end_point(certify(module.generate(), None)) is None


# ----------------------------------------------------------------------------- certificates of our own


def der(tag, *contents):
    body = b"".join(contents)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 128 + len(length)]) + length + body


def oid(dotted):
    first, second, *arcs = map(int, dotted.split("."))
    octets = bytearray()
    for arc in (first * 40 + second, *arcs):
        septets = [arc & 127]
        while arc := arc >> 7:
            septets.append(arc & 127 | 128)
        octets += bytes(reversed(septets))
    return der(6, bytes(octets))


NULL = der(5)


def skeleton(*algorithm):
    """As much of a certificate as the walk looks at."""
    return der(0x30, der(0x30, bytes(200)), der(0x30, *algorithm), der(3, bytes(65)))


@pytest.mark.parametrize(
    "dotted,name",
    [
        ("1.2.840.113549.1.1.4", "sha256"),
        ("1.2.840.113549.1.1.5", "sha256"),
        ("1.3.14.3.2.29", "sha256"),
        ("1.2.840.113549.1.1.14", "sha224"),
        ("1.2.840.113549.1.1.11", "sha256"),
        ("1.2.840.113549.1.1.12", "sha384"),
        ("1.2.840.113549.1.1.13", "sha512"),
        ("1.2.840.10045.4.1", "sha256"),
        ("1.2.840.10045.4.3.1", "sha224"),
        ("1.2.840.10045.4.3.2", "sha256"),
        ("1.2.840.10045.4.3.3", "sha384"),
        ("1.2.840.10045.4.3.4", "sha512"),
        ("1.2.840.10040.4.3", "sha256"),
        ("2.16.840.1.101.3.4.3.1", "sha224"),
        ("2.16.840.1.101.3.4.3.2", "sha256"),
        ("2.16.840.1.101.3.4.3.3", "sha384"),
        ("2.16.840.1.101.3.4.3.4", "sha512"),
        ("2.16.840.1.101.3.4.3.9", "sha3_224"),
        ("2.16.840.1.101.3.4.3.10", "sha3_256"),
        ("2.16.840.1.101.3.4.3.11", "sha3_384"),
        ("2.16.840.1.101.3.4.3.12", "sha3_512"),
        ("2.16.840.1.101.3.4.3.13", "sha3_224"),
        ("2.16.840.1.101.3.4.3.14", "sha3_256"),
        ("2.16.840.1.101.3.4.3.15", "sha3_384"),
        ("2.16.840.1.101.3.4.3.16", "sha3_512"),
        pytest.param("1.3.101.112", None, id="Ed25519"),
        pytest.param("1.3.101.113", None, id="Ed448"),
        pytest.param("1.2.840.113549.1.1.2", None, id="MD2"),
        pytest.param("1.2.840.113549.1.1", None, id="no signature"),
        pytest.param("1.2.3.4", None, id="unknown"),
    ],
)
def test_the_hash_function_follows_from_the_signature(dotted, name):
    for certificate in (skeleton(oid(dotted), NULL), skeleton(oid(dotted))):
        binding = server_end_point(certificate)
        assert (binding and binding.octets) == (name and hashlib.new(name, certificate).digest())


PSS = oid("1.2.840.113549.1.1.10")


def pss(function):
    return skeleton(PSS, der(0x30, der(0xA0, der(0x30, oid(function), NULL)), der(0xA2, der(2, b"\x20"))))


@pytest.mark.parametrize(
    "certificate,name",
    [
        pytest.param(skeleton(PSS, der(0x30)), "sha256", id="the default SHA-1"),
        pytest.param(skeleton(PSS, der(0x30, der(0xA2, der(2, b"\x20")))), "sha256", id="the default, and a salt"),
        pytest.param(pss("1.2.840.113549.2.5"), "sha256", id="MD5"),
        pytest.param(pss("1.3.14.3.2.26"), "sha256", id="SHA-1"),
        pytest.param(pss("2.16.840.1.101.3.4.2.4"), "sha224", id="SHA-224"),
        pytest.param(pss("2.16.840.1.101.3.4.2.1"), "sha256", id="SHA-256"),
        pytest.param(pss("2.16.840.1.101.3.4.2.2"), "sha384", id="SHA-384"),
        pytest.param(pss("2.16.840.1.101.3.4.2.3"), "sha512", id="SHA-512"),
        pytest.param(pss("2.16.840.1.101.3.4.2.7"), "sha3_224", id="SHA3-224"),
        pytest.param(pss("2.16.840.1.101.3.4.2.10"), "sha3_512", id="SHA3-512"),
        pytest.param(pss("2.16.840.1.101.3.4.2.11"), None, id="SHAKE"),
        pytest.param(skeleton(PSS), None, id="no parameters"),
        pytest.param(skeleton(PSS, NULL), None, id="NULL for parameters"),
        pytest.param(skeleton(PSS, der(0x30, der(0xA0))), None, id="an empty hash function"),
        pytest.param(skeleton(PSS, der(0x30), NULL), None, id="something behind the parameters"),
    ],
)
def test_the_parameters_of_pss_name_the_hash_function(certificate, name):
    binding = server_end_point(certificate)
    assert (binding and binding.octets) == (name and hashlib.new(name, certificate).digest())


# ------------------------------------------------------------------------------------------- no DER

TBS, SIGNED, ALGORITHM = der(0x30, b"x"), der(3, b"x"), der(0x30, oid("1.2.840.10045.4.3.2"))


def test_the_parts_make_a_certificate():
    assert server_end_point(der(0x30, TBS, ALGORITHM, SIGNED)) is not None


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x30", id="a tag"),
        pytest.param(b"\x30\x00", id="an empty sequence"),
        pytest.param(b"\x30\x80" + TBS + ALGORITHM + SIGNED + b"\0\0", id="no length (BER)"),
        pytest.param(b"\x30\xff" + TBS + ALGORITHM + SIGNED, id="a length of 127 octets"),
        pytest.param(b"\x30\x81" + der(0x30, TBS, ALGORITHM, SIGNED)[1:], id="a short length in the long form"),
        pytest.param(b"\x30\x82\x00" + der(0x30, bytes(200))[2:], id="a length with a leading zero"),
        pytest.param(b"\x30\x84\xff\xff\xff\xff" + TBS, id="a length beyond the end"),
        pytest.param(b"\x30\x85\x01\0\0\0\0" + TBS, id="a length of five octets"),
        pytest.param(der(0x31, TBS, ALGORITHM, SIGNED), id="a set"),
        pytest.param(der(0x30, ALGORITHM, SIGNED), id="nothing that is signed"),
        pytest.param(der(0x30, TBS, SIGNED), id="no algorithm"),
        pytest.param(der(0x30, TBS, ALGORITHM), id="no signature"),
        pytest.param(der(0x30, TBS, ALGORITHM, der(4, b"x")), id="a signature that is no bit string"),
        pytest.param(der(0x30, TBS, ALGORITHM, SIGNED, NULL), id="something behind the signature"),
        pytest.param(der(0x30, TBS, ALGORITHM, SIGNED) + b"\0", id="something behind the certificate"),
        pytest.param(der(0x30, TBS, der(0x30), SIGNED), id="an empty algorithm"),
        pytest.param(der(0x30, TBS, der(0x30, NULL), SIGNED), id="an algorithm without identifier"),
    ],
)
def test_what_is_no_certificate_has_none(octets):
    assert server_end_point(octets) is None


def test_a_part_of_a_certificate_has_none():
    certificate = ecdsa_certificate()
    assert ECDSA_SHA256 in certificate
    assert not any(server_end_point(certificate[:end]) for end in range(len(certificate)))
    assert not any(server_end_point(certificate[start:]) for start in range(1, len(certificate)))


@given(st.binary())
@example(b"\x30\x84")
def test_any_octets_have_one_or_none(octets):
    assert server_end_point(octets) is None


@given(st.data())
def test_a_changed_certificate_has_one_of_its_own_or_none(data):
    certificate = bytearray(ecdsa_certificate())
    at = data.draw(st.integers(0, len(certificate) - 1))
    certificate[at] = data.draw(st.integers(0, 255))
    binding = server_end_point(bytes(certificate))
    digests = {hashlib.new(name, certificate).digest() for name in ("sha224", "sha256", "sha384", "sha512")}
    assert binding is None or (binding.type == "tls-server-end-point" and binding.octets in digests)
