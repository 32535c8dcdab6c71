"""The API against its own description: whatever a request looks like, the answer is described."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from web.service import Running, config, running

schemathesis = pytest.importorskip(
    "schemathesis", reason="the API is fuzzed with schemathesis: pip install schemathesis"
)


# Bytes made at random fit the description of a picture, and are none.
BY_DESIGN = [schemathesis.checks.positive_data_acceptance]


def fuzz(service: Running, examples: int) -> set[int]:
    """Send made-up requests to every operation; returns the statuses that came back."""
    schema = schemathesis.openapi.from_url(f"{service.address}/openapi.json")
    seen: set[int] = set()
    for operation in (result.ok() for result in schema.get_all_operations()):

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            response = case.call(base_url=service.address, timeout=30)
            seen.add(response.status_code)
            # Bytes made at random fit the description of a picture and are none.
            case.validate_response(
                response, excluded_checks=[schemathesis.checks.positive_data_acceptance]
            )

        check()
    return seen


def test_answers_are_as_described(service: Running) -> None:
    assert {200, 422} <= fuzz(service, 12)


@pytest.mark.slow
def test_answers_are_as_described_many_times() -> None:
    with running(config(workers=2)) as service:
        service.wait_until_ready()
        assert {200, 404, 415, 422} <= fuzz(service, 400)
        assert service.number('tamperscope_workers_lost_total{reason="died"}') == 0
