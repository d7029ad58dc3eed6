"""The error tree: what users catch, and what crosses process borders."""

import copy
import inspect
import pickle
import re

import pytest

from heygen_avatar import errors
from heygen_avatar.errors import APIError, HeyGenError, MissingExtraError, RateLimitError

KINDS = [kind for kind in (getattr(errors, name) for name in errors.__all__) if issubclass(kind, HeyGenError)]
WARNINGS = [kind for kind in (getattr(errors, name) for name in errors.__all__) if issubclass(kind, Warning)]


def made(kind):
    if issubclass(kind, APIError):
        facts = {"status": 429, "code": 400123, "response_text": "{}", "request_id": "r-1", "retry_after": 2.0}
        return kind("too fast", call="streaming.new", hint="Slow down", **facts)
    if kind is MissingExtraError:
        return kind(extra="record", feature="record()")
    return kind("it went wrong")


def drawn():
    """Each error of the docstring's tree, with the parents that it is drawn under and beside: ``name (Builtin)``."""
    parents, above = {}, []
    for line in errors.__doc__.splitlines():
        node = re.match(r"    ([│├└─ ]*)(\w+Error)\b(?: \((\w+)\))?", line)
        if node is None:
            continue
        depth = len(node[1]) // 4
        above[depth:] = [node[2]]
        parents[node[2]] = {name for name in (above[depth - 1] if depth else "Exception", node[3]) if name}
    return parents


def test_the_tree_in_the_docstring_is_the_tree():
    assert drawn() == {kind.__name__: {base.__name__ for base in kind.__bases__} for kind in KINDS}


@pytest.mark.parametrize("kind", WARNINGS)
def test_a_warning_is_named_in_the_docstring_with_its_builtin(kind):
    assert f"``{kind.__name__}`` ({kind.__base__.__name__})" in errors.__doc__


def test_nothing_is_missing_from_all():
    defined = {
        name for name, value in vars(errors).items() if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert defined == set(errors.__all__)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.ConfigurationError, ValueError),
        (errors.InvalidRequestError, ValueError),
        (errors.MissingExtraError, ImportError),
        (errors.UsageError, RuntimeError),
        (errors.WaitTimeoutError, TimeoutError),
        (errors.SessionClosedError, ConnectionError),
        (errors.SessionNotStartedError, RuntimeError),
        (errors.StartTimeoutError, TimeoutError),
        (errors.APITimeoutError, TimeoutError),
        (errors.APIConnectionError, ConnectionError),
        (errors.BadRequestError, ValueError),
        (errors.AuthenticationError, PermissionError),
        (errors.AvatarNotFoundError, LookupError),
        (errors.SessionStateError, RuntimeError),
    ],
)
def test_the_builtin_that_a_user_would_catch_catches_it(kind, builtin):
    with pytest.raises(builtin):
        raise made(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("through", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_an_error_survives_a_process_border_with_all_its_facts(kind, through):
    error = made(kind)
    again = through(error)
    assert type(again) is kind
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_an_api_errors_text_has_call_words_facts_and_hint():
    error = made(RateLimitError)
    assert str(error) == "streaming.new: too fast (HTTP 429, code 400123, request r-1). Slow down"
    assert (error.message, error.retry_after) == ("too fast", 2.0)


def test_a_missing_extra_says_how_to_install_it():
    assert 'pip install "heygen-avatar[record]"' in str(made(MissingExtraError))


def test_a_session_error_names_its_session():
    error = errors.SessionClosedError("over", session_id="s-1", reason="stopped here")
    assert (error.session_id, error.reason) == ("s-1", "stopped here")
    assert pickle.loads(pickle.dumps(error)).session_id == "s-1"
