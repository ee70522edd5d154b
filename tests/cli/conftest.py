import pytest
from click.testing import CliRunner
from enc.cli.main import main


@pytest.fixture
def enc():
    """Run a command; returns its result, stdout apart from stderr."""

    def run(*arguments, code=0):
        result = CliRunner().invoke(main, [str(a) for a in arguments], prog_name="enc")
        if result.exit_code != code and result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return run
