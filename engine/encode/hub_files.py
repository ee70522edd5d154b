"""Files of the hub: fetched into its own cache, and its errors told in one line.

The hub's library follows its own variables: ``HF_ENDPOINT``, ``HF_HOME``, ``HF_HUB_OFFLINE``, ``HF_TOKEN``.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...store import HubError
from .hub_names import HubName

LOGIN = "`hf auth login` stores a token, and HF_TOKEN names one"


def hub_folder(name: HubName, patterns: Sequence[str]) -> Path:
    """The folder of the hub's cache with a repository's files of these patterns, fetched if need be.

    Its name is the commit. Raises HubError.
    """
    from huggingface_hub import snapshot_download

    with hub_errors_told(name), quiet_hub():
        found = snapshot_download(
            name.repo, revision=name.revision, allow_patterns=[*patterns], ignore_patterns=["*/*"]
        )
    return Path(found)


@contextmanager
def hub_errors_told(name: HubName) -> Iterator[None]:
    """During a block, what the hub's library raises is a HubError that names the repository.

    No message holds the token.
    """
    from huggingface_hub import constants, errors

    repo, place = name.repo, constants.ENDPOINT
    network = getattr(errors, "HTTPError", OSError)  # of the library below, which differs by release
    try:
        yield
    except errors.GatedRepoError as error:
        raise HubError(
            f"the files of '{repo}' are given to those who asked for them: ask at {place}/{repo}; {LOGIN}"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"there is no '{repo}' at {place}, or it is private and you have no token for it; {LOGIN}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"'{repo}' has no revision '{name.revision or 'main'}' at {place}") from error
    except errors.OfflineModeIsEnabled as error:
        raise HubError(f"the hub is not asked for '{repo}': HF_HUB_OFFLINE is set; unset it") from error
    except errors.LocalEntryNotFoundError as error:
        why = "HF_HUB_OFFLINE is set" if constants.is_offline_mode() else f"{place} cannot be reached"
        raise HubError(f"'{name}' is not in the hub's cache, and {why}") from error
    except errors.LocalTokenNotFoundError as error:
        raise HubError(f"there is no token for the hub; {LOGIN}") from error
    except errors.HfHubHTTPError as error:
        raise HubError(_refused(repo, error.response.status_code, error.server_message)) from error
    except (network, OSError, errors.HFValidationError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise HubError(f"'{repo}' cannot be had from or sent to {place}: {without_token(said)}") from error


def _refused(repo: str, status: int, message: str | None) -> str:
    said = f" ({without_token(message.splitlines()[0][:300])})" if message else ""
    if status in (401, 403):
        return (
            f"the hub refuses your token for '{repo}'{said}; it has to be one that may write there; {LOGIN}"
        )
    return f"the hub answers {status} for '{repo}'{said}"


def without_token(text: str) -> str:
    """A text in which the token, should a server repeat it, is blotted out."""
    token = token_of_user()
    return text.replace(token, "…") if token else text


def token_of_user() -> str | None:
    """The token that the hub's library finds: in ``HF_TOKEN``, or in the file of ``hf auth login``."""
    from huggingface_hub import get_token

    return get_token()


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Keep the library's bars and warnings off the screen during a block."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
        logging,
    )

    before, had_bars = logging.get_verbosity(), not are_progress_bars_disabled()
    logging.set_verbosity_error()
    disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if had_bars:
            enable_progress_bars()
