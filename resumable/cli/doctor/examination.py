"""Ask a server for a chunk that it cannot have, and understand the answer. Nothing is uploaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from ...errors import redact_url
from ...protocol.pages import asks_for_password, is_web_page
from ...transport.base import Reply, TLSFailure
from ..output.exit_codes import ExitCode, code_of, explain
from .connectivity import other_scheme
from .finding import Finding, answered
from .probe import Prober, Run

__all__ = ["Examination"]

_ABSENT = (202, 203, 204, 205, 206, 404)
_NO_ENDPOINT = (405, 500, 501)
_LATER = (429, 502, 503, 504)
_CREDENTIALS = {"token_file", "token_env", "headers"}
_LOG_IN = re.compile(r"(log|sign)[-_]?(in|on)|auth|sso", re.IGNORECASE)
_MOST_HOPS = 5


class Examination:
    """The answers of one server to somebody who asks before he uploads.

    ``again(*words, target=…)`` is a command line that asks again, with the flags that were given, which are ``typed``.
    """

    def __init__(
        self, target: str, options: Mapping[str, Any], typed: Mapping[str, Any], again: Callable[..., str]
    ) -> None:
        self._target = target
        self._options = options
        self._typed = typed
        self._again = again

    def ask(self, prober: Prober) -> tuple[Finding, Run]:
        """Ask, and return what is to be said about the answer, and the answer."""
        run = prober.ask()
        reply = run.test
        if reply is None:
            return self._unanswered(run), run
        if 300 <= reply.status < 400:
            return self._redirected(reply), run
        if (refused := self.refused("test", reply, ours=prober.ours)) is not None:
            return refused, run
        return self._understood(reply, ours=prober.ours), run

    def _understood(self, reply: Reply, *, ours: bool) -> Finding:
        """Return what an answer of the endpoint itself, or of whatever else is at this path, says."""
        status = reply.status
        text = f"the server was asked for a chunk that it cannot have, and answered {answered(reply)}"
        if ours and status == 404:
            return Finding("test", text, "this is not an upload endpoint: check the path of the URL", ExitCode.REFUSED)
        if status in (400, 497) and (there := other_scheme(self._target)):
            return Finding("test", text, f"type: {self._again(target=there)}", ExitCode.REFUSED)
        if asks_for_password(reply.text):
            return Finding("test", f"{text}: a log-in page", self._how_to_log_in(), doubtful=True)
        if status in (200, 201):
            if is_web_page(reply.text):
                return Finding("test", f"{text}: a web page", "check the path of the URL", doubtful=True)
            return Finding("test", f"{text}: it has that one, too", doubtful=True)
        if status in _LATER:
            return Finding("test", text, "try again later", doubtful=True)
        return Finding("test", text, doubtful=status not in _ABSENT and status not in _NO_ENDPOINT)

    def _unanswered(self, run: Run) -> Finding:
        """Return what to say if the test got no answer."""
        if not run.timed_out and (there := other_scheme(self._target)):
            text = f"no usable answer came back: this port speaks {urlsplit(there).scheme}://"
            return Finding("test", text, f"type: {self._again(target=there)}", ExitCode.EXHAUSTED)
        return self.silence("test", run)

    def silence(self, what: str, run: Run) -> Finding:
        """Return what to say if a request got no answer, or could not be sent."""
        if run.error is not None and (run.failure is None or isinstance(run.failure, TLSFailure)):
            return Finding(what, explain(run.error), code=code_of(run.error))
        advice = "check the URL and the port, and what stands before the server"
        if run.timed_out:
            advice = "see whether the server hangs; --timeout waits longer"
        return Finding(what, f"no usable answer came back: {run.failure}", advice, ExitCode.EXHAUSTED)

    def refused(self, what: str, reply: Reply, *, ours: bool) -> Finding | None:
        """Return what to say if the server does not know who asks, or does not want him; else None."""
        if reply.status not in (401, 403, 407):
            return None
        text = f"refused with {answered(reply)}"
        code = ExitCode.AUTHENTICATION
        if reply.status == 407:
            return Finding(what, text, "put the user and the password into the URL of the proxy", code)
        if ours and reply.status == 403:
            return Finding(what, text, "the operator of the server can allow it", code)
        if _CREDENTIALS & self._typed.keys():
            return Finding(what, text, "check the token or the headers that you gave", code)
        token = f"if you have a token, put it into a file and type: {self._again('--token-file', 'FILE')}"
        if ours:
            return Finding(what, text, token, code)
        return Finding(what, text, f"{token}; if you have to log in, {self._how_to_log_in()}", code)

    def _how_to_log_in(self) -> str:
        command = self._again("--header", "@FILE")
        return f"log in with a browser, put the headers that it sends (Cookie: …) into a file, and type: {command}"

    def _redirected(self, reply: Reply) -> Finding:
        """Look at what is at the other end of a redirect. No credentials are sent there."""
        here = there = self._options.get("test_target") or self._target
        options = {name: self._options[name] for name in ("timeout",) if name in self._options}
        answer: Reply | None = reply
        for _ in range(_MOST_HOPS):
            if answer is None or not 300 <= answer.status < 400:
                break
            location = answer.headers.get("location", "")
            try:
                found = urlsplit(urljoin(there, location))
            except ValueError:
                found = urlsplit("")
            if not location or found.scheme not in ("http", "https") or not found.hostname:
                return Finding("test", f"the answer {reply.status} leads nowhere", "check the URL", ExitCode.REFUSED)
            # Servers repeat the parameters of the test, which do not belong to the new URL.
            there = found._replace(query=urlsplit(here).query, fragment="").geturl()
            answer = Prober(there, options).ask().test
        text = f"the server answers {reply.status}, which leads to {redact_url(there)}"
        if (answer is not None and asks_for_password(answer.text)) or _LOG_IN.search(urlsplit(there).path):
            return Finding("test", f"{text}, to log in", self._how_to_log_in(), ExitCode.AUTHENTICATION)
        if answer is None or 300 <= answer.status < 400:
            what = "where nobody answers" if answer is None else "and on and on"
            return Finding("test", f"{text}, {what}", "check the URL", ExitCode.REFUSED)
        if is_web_page(answer.text) and answer.status in (200, 201):
            advice = f"check the path of the URL; if one has to log in first, {self._how_to_log_in()}"
            return Finding("test", f"{text}, a web page", advice, ExitCode.REFUSED)
        return Finding("test", text, f"type: {self._again(target=there)}", ExitCode.REFUSED)
