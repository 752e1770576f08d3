"""Every error in every dialect: JSON of the dialect's shape, with the code that the contract names."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.dialects import bricqs, flux, hogsend, solute
from headrace.http.problems import status_of
from headrace.model import errors
from headrace.model.errors import HeadraceError


def _classes(base: type[HeadraceError] = HeadraceError) -> Iterator[type[HeadraceError]]:
    yield base
    for each in base.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from _classes(each)


def _made(kind: type[HeadraceError]) -> HeadraceError:
    match kind:
        case errors.MethodNotAllowed:
            return errors.MethodNotAllowed("PATCH", ("GET", "POST"))
        case errors.RateLimited:
            return errors.RateLimited(10, 60, 7)
        case _:
            return kind()


ERRORS = [_made(kind) for kind in _classes()]
CODES: dict[type[HeadraceError], tuple[int, str, str]] = {
    errors.HeadraceError: (503, "unavailable", "UNAVAILABLE"),
    errors.InvalidRequest: (400, "invalid_request", "VALIDATION_ERROR"),
    errors.MissingName: (400, "missing_name", "VALIDATION_ERROR"),
    errors.InvalidTimestamp: (400, "invalid_timestamp", "VALIDATION_ERROR"),
    errors.InvalidTags: (400, "invalid_tags", "VALIDATION_ERROR"),
    errors.InvalidRules: (400, "invalid_request", "VALIDATION_ERROR"),
    errors.InvalidMetricType: (400, "invalid_type", "VALIDATION_ERROR"),
    errors.InvalidMetricValue: (400, "invalid_value", "VALIDATION_ERROR"),
    errors.BatchTooLarge: (400, "batch_too_large", "VALIDATION_ERROR"),
    errors.Duplicate: (400, "invalid_request", "VALIDATION_ERROR"),
    errors.EventsRejected: (400, "invalid_request", "VALIDATION_ERROR"),
    errors.PayloadTooLarge: (413, "payload_too_large", "PAYLOAD_TOO_LARGE"),
    errors.EventTooLarge: (413, "payload_too_large", "PAYLOAD_TOO_LARGE"),
    errors.Unauthorized: (401, "invalid_api_key", "INVALID_API_KEY"),
    errors.MissingKey: (401, "missing_api_key", "INVALID_API_KEY"),
    errors.InvalidKey: (401, "invalid_api_key", "INVALID_API_KEY"),
    errors.NoSession: (401, "invalid_api_key", "INVALID_API_KEY"),
    errors.Forbidden: (403, "forbidden", "FORBIDDEN"),
    errors.Conflict: (400, "invalid_request", "VALIDATION_ERROR"),
    errors.OtherRules: (400, "invalid_request", "VALIDATION_ERROR"),
    errors.NotFound: (404, "not_found", "NOT_FOUND"),
    errors.MethodNotAllowed: (405, "invalid_request", "METHOD_NOT_ALLOWED"),
    errors.RateLimited: (429, "rate_limited", "RATE_LIMIT_EXCEEDED"),
    errors.Unavailable: (503, "unavailable", "UNAVAILABLE"),
    errors.SettingsError: (503, "unavailable", "UNAVAILABLE"),
}

each_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


def _rendered(render: Any, error: HeadraceError) -> Any:
    return json.loads(render(error, int(status_of(error))))


@each_error
def test_flux_words_every_error_as_a_code_and_a_message(error: HeadraceError) -> None:
    _, code, _ = CODES[type(error)]
    assert _rendered(flux.render_error, error) == {"error": {"code": code, "message": error.message}}


@each_error
def test_bricqs_words_every_error_as_a_detail(error: HeadraceError) -> None:
    assert _rendered(bricqs.render_error, error) == {"detail": error.message}


@each_error
def test_solute_words_every_error_as_code_message_and_details_beside_the_status(error: HeadraceError) -> None:
    status, _, code = CODES[type(error)]
    expected = {"error": {"code": code, "message": error.message, "details": {}}, "statusCode": status}
    assert _rendered(solute.render_error, error) == expected


@each_error
def test_hogsend_words_every_error_as_one_sentence_and_every_401_alike(error: HeadraceError) -> None:
    unauthorized = isinstance(error, errors.Unauthorized)
    expected = {"error": "Unauthorized" if unauthorized else error.message}
    assert _rendered(hogsend.render_error, error) == expected


@each_error
def test_every_error_says_something_and_whether_a_retry_can_help(error: HeadraceError) -> None:
    assert error.message.strip()
    assert str(error) == error.message
    assert error.retry_can_help == isinstance(error, errors.RateLimited | errors.Unavailable)
    assert len(error.message) < 200


def test_a_message_is_shown_as_it_is_whatever_the_characters() -> None:
    error = errors.InvalidRequest('"quotes" \\ \n \0 é 🎉')
    assert _rendered(flux.render_error, error)["error"]["message"] == error.message
    assert _rendered(bricqs.render_error, error)["detail"] == error.message
    assert _rendered(solute.render_error, error)["error"]["message"] == error.message
    assert _rendered(hogsend.render_error, error)["error"] == error.message


def test_a_client_is_told_to_come_again_in_a_second_unless_it_takes_longer() -> None:
    assert errors.Unavailable().retry_after_s == 1
    assert errors.Unavailable("later", retry_after_s=60).retry_after_s == 60
