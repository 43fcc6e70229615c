"""Which certificate authorities are trusted, by Label Studio's client and where images are fetched alike."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from pathlib import Path

import certifi
from urllib3.util.ssl_match_hostname import CertificateError

from ..exceptions import SettingError
from .failures import causes, reason

__all__ = ["VARIABLES", "authorities", "distrust"]

VARIABLES = ("LABELQUEUE_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")  # the first that is set counts
# OpenSSL's numbers of what is wrong with a certificate other than who signed it.
_DATED, _MISNAMED = (9, 10), (62, 63, 64)


def authorities(named: Path | None = None) -> str:
    """Return the file or folder of the certificate authorities to trust.

    Parameters
    ----------
    named : Path, optional
        What LABELQUEUE_CA_BUNDLE names, where settings say it. Else the first of `VARIABLES` that is set in the
        environment counts, else certifi's list of public authorities.

    Raises
    ------
    SettingError
        If what the variable names is missing, cannot be read or holds no certificate.
    """
    name, value = _named(named)
    if not name:
        return certifi.where()
    path = Path(value).expanduser()
    try:
        _check(path, path.stat().st_mtime_ns)
    except ssl.SSLError as error:  # an OSError too, so it comes first
        raise _unusable(name, value, "it holds no certificate in PEM form") from error
    except OSError as error:
        raise _unusable(name, value, error.strerror or str(error)) from error
    return str(path)


def distrust(error: BaseException, named: Path | None = None) -> str:
    """Return what is wrong with a server's certificate and the way out; empty when the failure is another one.

    `named` is that of `authorities`.
    """
    for cause in causes(error):
        if isinstance(cause, CertificateError):
            return f"its certificate is not valid ({reason(cause)}); use the name that it is made out to"
        if isinstance(cause, ssl.SSLCertVerificationError):
            wrong = f"its certificate is not valid ({cause.verify_message})"
            if cause.verify_code in _MISNAMED:
                return f"{wrong}; use the name that it is made out to"
            if cause.verify_code in _DATED:
                return f"{wrong}; renew it there, or set the clock here"
            name, value = _named(named)
            if name:
                return f"{wrong}; add the certificate of its authority to {value}, which {name} names"
            return f"{wrong}; set LABELQUEUE_CA_BUNDLE to a PEM file with the certificate of its authority"
    return ""


def _named(named: Path | None) -> tuple[str, str]:
    if named is not None:
        return VARIABLES[0], str(named)
    values = ((name, os.environ.get(name, "").strip()) for name in VARIABLES)
    return next(((name, value) for name, value in values if value), ("", ""))


def _unusable(name: str, value: str, why: str) -> SettingError:
    return SettingError(
        f"{name} names {value!r}, which cannot be used: {why}; give a PEM file of certificate authorities, or unset it"
    )


@lru_cache(maxsize=8)
def _check(path: Path, changed: int) -> None:  # read anew when it changes
    if path.is_dir():
        any(path.iterdir())
        return
    with path.open("rb"):  # OpenSSL does not say why it cannot open a file
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=str(path))
