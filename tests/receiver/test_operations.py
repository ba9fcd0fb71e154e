"""What those who run a receiver see of it: its health, its numbers, its log."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from support.client import content, upload
from support.sample import Sample

from resumable import OptionError, StateError
from resumable.receiver import FileStore, Receiver, Refusal, Request, Server
from resumable.receiver.metrics import ReceiverMetrics

PATIENCE = 60.0
TOKEN = {"Authorization": "Bearer s3cret"}


def numbers(server: Server, **headers: str) -> dict[tuple[str, ...], float]:
    """The samples of a scrape: their names and labels, with their values."""
    answer = requests.get(f"{server.url}metrics", headers=headers, timeout=PATIENCE)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_health_needs_no_token_and_no_name(root: Path) -> None:
    with Server(Receiver(root, token="s3cret")) as server:
        for method in ("GET", "HEAD"):
            answer = requests.request(method, f"{server.url}healthz", headers={"Host": "10.0.0.1.internal"}, timeout=60)
            assert answer.status_code == 200
        assert requests.post(f"{server.url}healthz", timeout=PATIENCE).status_code in (403, 405)


def test_the_numbers_are_those_of_what_happened(root: Path) -> None:
    def started(record: object, request: Request) -> None:
        if "refused" in request.query:
            raise Refusal(422, "Not this one.")

    receiver = Receiver(
        FileStore(root, fsync="never"),
        token="s3cret",
        tenant=lambda request: "secret-tenant",
        on_upload_started=started,
        on_file_received=lambda record: None,
        metrics=ReceiverMetrics(),
    )
    with Server(receiver) as server:
        assert requests.get(f"{server.url}metrics", timeout=PATIENCE).status_code == 401
        data = content(10_000)
        upload(server.url, (data, "secret-name.bin"), headers=TOKEN, test_chunks=False)
        sample = Sample(identifier="refused", headers={k.lower(): v for k, v in TOKEN.items()})
        requests.post(server.url, params=sample.pairs(1), data=sample.chunk(1), headers=TOKEN, timeout=PATIENCE)
        requests.post(server.url, timeout=PATIENCE)
        Sample(identifier="open", headers={"authorization": "Bearer s3cret"}).send(receiver, 1)
        found = numbers(server, **TOKEN)
        text = requests.get(f"{server.url}metrics", headers=TOKEN, timeout=PATIENCE).text
    assert found["resumable_requests_total", "POST", "201"] == 1
    assert found["resumable_requests_total", "POST", "422"] == 1
    assert found["resumable_stored_bytes_total",] == len(data) + 8
    assert found["resumable_files_total",] == 1
    assert found["resumable_open_uploads",] == 1
    assert found["resumable_refused_uploads_total", "forbidden"] == 1
    assert found["resumable_refused_uploads_total", "token"] == 1
    assert found["resumable_finishing_seconds_count", "publish"] == 1
    assert found["resumable_finishing_seconds_count", "hook"] == 1
    assert "secret" not in text


def test_a_made_up_method_is_no_label_of_its_own() -> None:
    metrics = ReceiverMetrics()
    for number in range(100):
        metrics.answered(f"METHOD{number}", 405)
    assert metrics.response().body.count(b"resumable_requests_total{") == 1


def test_without_metrics_there_is_nothing_at_their_path(root: Path) -> None:
    assert Receiver(root).handle(Request("GET", "/metrics")).status == 404


def test_metrics_are_not_for_tenants_nor_for_processes_that_do_not_share_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    with pytest.raises(OptionError, match="metrics"):
        Receiver(root, tenant=lambda request: "", metrics=ReceiverMetrics())
    with pytest.raises(OptionError, match="PROMETHEUS_MULTIPROC_DIR"):
        Server(Receiver(root, metrics=ReceiverMetrics()), processes=2)


def test_each_request_is_a_line_of_json_in_the_log_without_its_query(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "resumable.receiver.access")
    with Server(Receiver(FileStore(root, fsync="never"))) as server:
        sample = Sample(extra={"secret": "s3cret"})
        answer = requests.post(server.url, params=sample.pairs(1), data=sample.chunk(1), timeout=PATIENCE)
        assert answer.status_code == 200
    (line,) = [record.getMessage() for record in caplog.records if record.name == "resumable.receiver.access"]
    facts = json.loads(line)
    assert (facts["method"], facts["path"], facts["status"], facts["received"]) == ("POST", "/", 200, "8")
    assert facts["address"] == "127.0.0.1"
    assert "s3cret" not in line


def test_metrics_may_have_a_port_of_their_own(root: Path) -> None:
    receiver = Receiver(root, tenant=lambda request: "ada", metrics=ReceiverMetrics(private=True))
    with Server(receiver, metrics_port=0) as server:
        assert requests.get(f"{server.url}metrics", timeout=PATIENCE).status_code == 404
        scraped = requests.get(server.metrics_url, timeout=PATIENCE)
        assert [family.name for family in text_string_to_metric_families(scraped.text)]
        assert requests.head(server.metrics_url, timeout=PATIENCE).text == ""
        assert requests.post(server.metrics_url, timeout=PATIENCE).status_code == 405
        assert requests.get(server.metrics_url.removesuffix("metrics"), timeout=PATIENCE).status_code == 404
    with pytest.raises(StateError):
        _ = server.metrics_url


def test_a_port_for_metrics_wants_metrics(root: Path) -> None:
    with pytest.raises(OptionError, match="metrics_port"):
        Server(root, metrics_port=0)
