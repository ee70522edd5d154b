import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from enc.engine import hub


@pytest.fixture
def online(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_a_hub_that_shall_not_be_asked(online, monkeypatch, name):
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("asked"))
    monkeypatch.setenv(name, "1")
    assert hub.hub_state().remark == f"not asked: {name} is set"


@pytest.mark.parametrize(
    ("status", "remark"), [(200, "reachable"), (403, "reachable"), (503, "not usable: it answers 503")]
)
def test_a_hub_that_answers(online, monkeypatch, status, remark):
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.handle_request, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    found = hub.hub_state()
    assert (found.is_reachable, found.remark) == (status < 500, remark)
    server.server_close()


def test_a_hub_that_does_not_answer(online, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    found = hub.hub_state()
    assert not found.is_reachable
    assert found.remark == "not reachable: Connection refused"


def test_a_hub_that_never_answers_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(hub, "HUB_SECONDS", 0.01)
    never = threading.Event()
    found = hub.WaitingForHub(lambda: never.wait(60) and pytest.fail("waited")).result()
    assert found.remark.startswith("not reachable: no answer in")
