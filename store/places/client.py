"""Requests to an object store: credentials from their usual places, retries, and errors of one line."""

import os
import random
import re
import time
from collections.abc import Callable
from configparser import ConfigParser
from configparser import Error as ConfigError
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from ..errors import EncError, PlaceError

T = TypeVar("T")
_VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""The variables that hold credentials, by the scheme of a URL."""
_ENDPOINTS = {"s3": "AWS_ENDPOINT_URL", "gs": "GOOGLE_SERVICE_ACCOUNT", "az": "AZURE_STORAGE_ACCOUNT_NAME"}
_ATTEMPTS = 8
_CLIENT_RETRIES = 3  # of 503s and the like, by the client itself
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 5.0  # seconds; the client retries by itself, too, where it can
_AWS_OTHER_WAYS = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_NO_BUCKET = re.compile(
    r"NoSuchBucket|ContainerNotFound|bucket does not exist|container does not exist", re.IGNORECASE
)
_DENIED = re.compile(
    r"InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|AuthenticationFailed|InvalidToken|ExpiredToken"
    r"|\b40[13]\b|Forbidden|Unauthorized",
    re.IGNORECASE,
)
_TRANSPORT = re.compile(
    r"error sending request|error decoding|body|connection|timed? ?out|incomplete|eof"
    r"|\b50[0234]\b|slow ?down|service ?unavailable|internal server error|too many requests",
    re.IGNORECASE,
)
"""What other libraries say where the network, or the store, failed them."""
_NO_CREDENTIALS = re.compile(r"metadata|169\.254\.169\.254|credential", re.IGNORECASE)


@lru_cache(maxsize=64)
def client(scheme: str, bucket: str, environment: tuple[tuple[str, str], ...]) -> Any:
    """A client for a bucket. ``environment`` is :func:`settings`: other variables are another client."""
    from datetime import timedelta

    from obstore.store import from_url

    retries: Any = {"max_retries": _CLIENT_RETRIES, "retry_timeout": timedelta(seconds=60)}
    options: Any = {"timeout": timedelta(seconds=120), "connect_timeout": timedelta(seconds=10)}
    given: Any = dict(environment)
    if given.pop("aws_allow_http", None):
        options["allow_http"] = True
    try:
        return from_url(f"{scheme}://{bucket}", config=given, client_options=options, retry_config=retries)
    except Exception as error:
        raise problem(error, scheme, bucket, f"{scheme}://{bucket}") from error


def settings(scheme: str) -> dict[str, str]:
    """What is to be said to clients beside the environment variables that they read themselves.

    Of ``s3``: keys of a profile in ``~/.aws/credentials``, a region where none is set, and that an endpoint
    of ``http://`` may be used.
    """
    if scheme != "s3":
        return {}
    found = _profile() if "AWS_ACCESS_KEY_ID" not in os.environ else {}
    if not os.environ.get("AWS_REGION") and not os.environ.get("AWS_DEFAULT_REGION"):
        found.setdefault("aws_region", "us-east-1")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    if endpoint:
        found["aws_endpoint_url"] = endpoint
    if endpoint.startswith("http://"):
        found["aws_allow_http"] = "true"
    return found


def environment(scheme: str) -> tuple[tuple[str, str], ...]:
    """All that decides how a client of a scheme reaches its store: variables and :func:`settings`."""
    prefix = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}[scheme]
    variables = {
        name.lower(): value
        for name, value in os.environ.items()
        if name in _READ_BY_CLIENTS and name.startswith(prefix) and value
    }
    return tuple(sorted({**variables, **settings(scheme)}.items()))


_READ_BY_CLIENTS = frozenset(
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_SKIP_SIGNATURE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "AZURE_STORAGE_ACCOUNT_NAME",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_CLIENT_ID",
        "AZURE_STORAGE_CLIENT_SECRET",
        "AZURE_STORAGE_TENANT_ID",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_TOKEN",
    ]
)


def attempt(action: Callable[[], T], scheme: str, bucket: str, url: str) -> T:
    """What ``action`` returns; it is called again while it fails for a reason that may pass.

    Raises FileNotFoundError for an object that is not there, FileExistsError for one that is there and must
    not be, and PlaceError for anything else.
    """
    require_credentials(scheme, url)
    for number in range(_ATTEMPTS):
        try:
            return action()
        except FileNotFoundError as error:  # obstore's own, too
            raise problem(error, scheme, bucket, url) from error
        except Exception as error:
            found = problem(error, scheme, bucket, url)
            if number + 1 == _ATTEMPTS or not may_pass(error):
                raise found from error
        time.sleep(min(_LONGEST_WAIT, _FIRST_WAIT * 2**number) * (0.5 + random.random()))
    raise AssertionError("the last attempt returns or raises")


def retried(action: Callable[[], T], place: Any) -> T:
    """What ``action`` of another library on a place returns; see :func:`attempt`.

    Its exceptions are its own, but for those that tell of credentials or of the network.
    """
    scheme = getattr(place, "scheme", None)
    if scheme is None:
        return action()
    url = str(place)
    require_credentials(scheme, url)
    for number in range(_ATTEMPTS):
        try:
            return action()
        except EncError:
            raise
        except Exception as error:
            said = str(error)
            if _NO_BUCKET.search(said) or _DENIED.search(said):
                raise problem(error, scheme, place.bucket, url) from error
            if not _TRANSPORT.search(said):
                raise
            if number + 1 == _ATTEMPTS:
                raise problem(error, scheme, place.bucket, url) from error
        time.sleep(min(_LONGEST_WAIT, _FIRST_WAIT * 2**number) * (0.5 + random.random()))
    raise AssertionError("the last attempt returns or raises")


def may_pass(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    kind = type(error).__name__
    if kind in _FINAL or isinstance(error, FileNotFoundError | FileExistsError | PermissionError):
        return False
    said = str(error)
    return not (_NO_BUCKET.search(said) or _DENIED.search(said))


_FINAL = frozenset(
    [
        "AlreadyExistsError",
        "PreconditionError",
        "NotFoundError",
        "PermissionDeniedError",
        "UnauthenticatedError",
        "InvalidPathError",
        "NotSupportedError",
        "UnknownConfigurationKeyError",
        "PlaceError",
    ]
)


def problem(error: Exception, scheme: str, bucket: str, url: str) -> Exception:
    """The exception that stands for a client's, with one line that names the place and the way out."""
    kind, said = type(error).__name__, str(error)
    if isinstance(error, PlaceError):
        return error
    if _NO_BUCKET.search(said):
        return PlaceError(f"there is no bucket '{bucket}', which '{url}' names; make it, or name another")
    if kind == "NotFoundError" or isinstance(error, FileNotFoundError):
        return FileNotFoundError(2, os.strerror(2), url)
    if kind == "AlreadyExistsError":
        return FileExistsError(17, os.strerror(17), url)
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or _DENIED.search(said):
        return PlaceError(
            f"access to '{url}' is denied; check {_VARIABLES[scheme]}, and what they are allowed to do"
        )
    if _NO_CREDENTIALS.search(said):
        return PlaceError(f"there are no credentials for '{url}'; set {_VARIABLES[scheme]}")
    return PlaceError(
        f"'{url}' cannot be reached ({scrubbed(said)}); check the network and {_ENDPOINTS[scheme]}"
    )


def require_credentials(scheme: str, url: str) -> None:
    """Raise PlaceError where it is certain that there are none: asking the cloud for some takes minutes."""
    names = os.environ
    if scheme == "s3" and not (
        (names.get("AWS_ACCESS_KEY_ID") and names.get("AWS_SECRET_ACCESS_KEY"))
        or names.get("AWS_SKIP_SIGNATURE")
        or any(map(names.get, _AWS_OTHER_WAYS))
        or _profile()
        or _is_in_cloud()
    ):
        raise PlaceError(f"there are no credentials for '{url}'; set {_VARIABLES[scheme]}")


@lru_cache(maxsize=1)
def _is_in_cloud() -> bool:
    """Whether this machine's maker is a cloud that gives its machines credentials."""
    for name in ("sys_vendor", "board_vendor", "bios_vendor"):
        try:
            maker = Path("/sys/class/dmi/id", name).read_text("utf-8").lower()
        except (OSError, ValueError):
            continue
        if "amazon" in maker:
            return True
    return False


def _profile() -> dict[str, str]:
    """The keys of the profile that AWS_PROFILE names, in AWS's file of credentials."""
    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.expanduser("~/.aws/credentials")
    parser = ConfigParser(interpolation=None)
    try:
        parser.read(file, encoding="utf-8")
        profile = parser[os.environ.get("AWS_PROFILE", "default")]
    except (ConfigError, KeyError, OSError, ValueError):
        return {}
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    found = {name: profile[name] for name in names if profile.get(name)}
    return found if len(found) > 1 else {}


def scrubbed(said: str) -> str:
    """A message's first line, without what may be secret: what is signed in a URL, and credentials."""
    line = " ".join((said.strip().splitlines() or [""])[0].split())
    line = re.sub(r"\?[^\s\"')]*", "", line)
    for name, value in os.environ.items():
        if len(value) > 3 and re.search(r"KEY|SECRET|TOKEN|CREDENTIAL", name):
            line = line.replace(value, "…")
    for value in _profile().values():
        line = line.replace(value, "…")
    return line[:300].rstrip(".")
