# Writes ca.pem, and cert.pem with key.pem for 127.0.0.1 signed by it, into a folder.
import datetime
import ipaddress
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

folder = pathlib.Path(sys.argv[1])
now = datetime.datetime.now(datetime.timezone.utc)


def certificate(name, key, issuer, signed_by, authority):
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(signed_by, hashes.SHA256())
    )


def named(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


ca_key, key = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
ca = certificate(named("tests"), ca_key, named("tests"), ca_key, True)
own = certificate(named("server"), key, named("tests"), ca_key, False)
pem = serialization.Encoding.PEM
plain = serialization.NoEncryption()
(folder / "ca.pem").write_bytes(ca.public_bytes(pem))
(folder / "cert.pem").write_bytes(own.public_bytes(pem))
(folder / "key.pem").write_bytes(
    key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
)
