"""What the body of an answer with a success status says, in both directions."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.texts import texts

from resumable.protocol.acceptance import (
    Acceptance,
    Remedy,
    judge,
)
from resumable.protocol.pages import is_web_page, summary

LOGIN = (
    '<!DOCTYPE html>\n<html><head><title>Log in &ndash; Example</title><script>if (1 < 2) go("/login")</script></head>'
    "<body><form><input name='user'><input name=pw type='password'></form></body></html>"
)
PAGE = (
    "<!DOCTYPE html><html><head><title>Files of Ann</title></head><body><p>Chunk {} of {} was stored.</p></body></html>"
)


def php(level: str, words: str, *, markup: bool = True) -> str:
    """A message as PHP writes it, with html_errors on or off."""
    if markup:
        return f"<br />\n<b>{level}</b>:  {words} in <b>/var/www/upload.php</b> on line <b>126</b><br />\n"
    return f"\n{level}: {words} in /var/www/upload.php on line 126\n"


SUCCESSES = [
    "",
    " \r\n",
    "ok",
    "done",
    "partly_done",
    "valid",
    "chunk uploaded",
    "/media/uploads/error 1 in file.mp4",
    "Stored error 1 in file a.bin",
    "not an invalid_resumable_request",
    "invalid_resumable_request1.txt",
    "non_resumable_requests: 0",
    "29.11.2024: writing chunk 1\r\n29.11.2024: writing chunk 2\r\n",
    "Warning: the disk is nearly full",
    "Uploaded. Warning: fopen() is not used here",
    "Uncaught Fish.mp4",
    "Fatal error.mp4",
    "# Notes",
    "0",
    "null",
    "true",
    "17",
    "-1.5e3",
    '"stored"',
    '""',
    "[]",
    '[{"id": "f3", "name": "error.log", "size": 3}]',
    '[{"error": "of an earlier file"}]',
    "{}",
    '{"success": true}',
    '{"success": "true"}',
    '{"success": 1}',
    '{"success": null}',
    '{"ok": true, "info": "Upload OK"}',
    '{"OK": 1}',
    '{"status": "success", "info": null, "file_link": null}',
    '{"status": "ok"}',
    '{"status": 200}',
    '{"status": "no errors"}',
    '{"error": null}',
    '{"error": false}',
    '{"error": 0}',
    '{"error": ""}',
    '{"error": []}',
    '{"error": {}}',
    '{"error": "0"}',
    '{"error": "false"}',
    '{"error": {"code": 0}}',
    '{"error": {"code": 0, "message": "no error"}}',
    '{"errors": []}',
    '{"errors": {}}',
    '{"errors": null, "data": {"errors": ["of something else"]}}',
    '{"status": 0}',
    '{"status": 600}',
    '{"status": "400"}',
    '{"statusCode": 201}',
    '{"result": "stored"}',
    '{"result": 404}',
    '{"result": false, "success": true}',
    '{"status": "Rejected", "ok": 1}',
    '{"errorMessage": ""}',
    '{"files": []}',
    '{"files": [{"name": "a.bin"}, {"name": "b.bin", "error": "no"}]}',
    '{"files": ["a.bin"]}',
    '{"files": [{"error": false}]}',
    '{"files": [{"error": "0"}]}',
    '{"error_count": 3, "failed": false}',
    '{"jsonrpc": "2.0", "result": null, "id": "id"}',
    '{"files": [{"name": "a.bin", "size": 3, "error": ""}]}',
    '{"files": [{"name": "b.bin", "error": "of another file"}], "success": true}',
    '{"lastChunkUploaded": false, "result": {"error": "none"}}',
    '{"csrf_expired": false}',
    '{"data": "Stored"}',
    '{"data": "Uploaded"}',
    '{"message": "<html>", "page": "<!DOCTYPE html>"}',
    '\ufeff{"success": true}',
    '{"success": true}0',
    '{"success": true}<!-- rendered in 0.3 s -->',
    "{not json}",
    '{"success": false',
    "[" * 60_000,
    '{"a":' * 12_000,
    "<html5>",
    "<htmlish/>",
    "<p>stored</p>",
    '<p>stored, <a href="/blog-in">more</a></p>',
    '<pre>{"success": true}</pre>',
    '<textarea>{"error": ""}</textarea>',
    'done({"success": true});',
    "saved(a.bin)",
    '<?xml version="1.0"?><Response><Status>error-free</Status></Response>',
    "<Error>none</Error>",
]


@pytest.mark.parametrize("body", SUCCESSES, ids=lambda body: body[:40])
def test_a_body_that_says_nothing_against_the_chunk_is_an_acceptance(body: str) -> None:
    assert judge(body).acceptance is Acceptance.ACCEPTED


UNFINISHED = [
    # The Node samples.
    "partly_done",
    "partly_done\r\n",
    "\ufeff partly_done",
    '"partly_done"',
    # python-resumable.
    '{"chunkUploadStatus": true, "resumableIdentifier": "a-1"}',
    '{\n  "resumableIdentifier": "a-1",\n  "chunkUploadStatus": true\n}\n',
    '{"chunkUploadStatus":true,"fileUploadStatus":false}',
]
NOT_UNFINISHED = [
    *(body for body in SUCCESSES if body != "partly_done"),
    "partly_done: no",
    "not partly_done",
    '{"fileUploadStatus": true, "resumableIdentifier": "a-1"}',
    '{"chunkUploadStatus": true, "fileUploadStatus": true}',
    '{"fileUploadStatus": true,\n"chunkUploadStatus": true}',
    '{"chunkUploadStatus": false}',
    '[{"chunkUploadStatus": true}]',
    '"{}"',
]


@pytest.mark.parametrize("body", UNFINISHED)
def test_a_body_that_says_that_chunks_of_the_file_are_missing(body: str) -> None:
    judgement = judge(body)
    assert (judgement.acceptance, judgement.unfinished) == (Acceptance.ACCEPTED, True)


@pytest.mark.parametrize("body", NOT_UNFINISHED, ids=lambda body: body[:40])
def test_a_body_that_does_not_say_that_chunks_of_the_file_are_missing(body: str) -> None:
    assert not judge(body).unfinished


REFUSALS = [
    # The Node samples.
    ("invalid_resumable_request", Remedy.NONE),
    *((f"invalid_resumable_request{number}", Remedy.NONE) for number in range(1, 6)),
    ("  invalid_resumable_request4\n", Remedy.NONE),
    ("non_resumable_request", Remedy.NONE),
    ("invalid_flow_request2", Remedy.NONE),
    ('"invalid_resumable_request1"', Remedy.NONE),
    # The PHP sample.
    ("29.11.2024: error 1 in file a b.mp4\r\n", Remedy.SMALLER_CHUNKS),
    ("error 1 in file a.mp4", Remedy.SMALLER_CHUNKS),
    ("29.11.2024: error 2 in file a.mp4\r\n", Remedy.SMALLER_CHUNKS),
    ("29.11.2024: error 3 in file a.mp4\r\n", Remedy.RETRY),
    ("29.11.2024: error 7 in file a.mp4\r\n", Remedy.RETRY),
    ("29.11.2024: Error saving (move_uploaded_file) chunk 3 for file a.mp4\r\n", Remedy.RETRY),
    ("29.11.2024: cannot create the destination file\r\n", Remedy.RETRY),
    (php("Deprecated", "Foo") + "29.11.2024: error 1 in file a.mp4\r\n", Remedy.SMALLER_CHUNKS),
    # PHP itself.
    *((php("Fatal error", "Allowed memory size of 128 bytes exhausted", markup=on), Remedy.RETRY) for on in (0, 1)),
    *(
        (php("Fatal error", "Uncaught Error: no()\nStack trace:\n#0 {main}\n  thrown", markup=on), Remedy.RETRY)
        for on in (0, 1)
    ),
    *((php("Parse error", "syntax error, unexpected token", markup=on), Remedy.RETRY) for on in (0, 1)),
    *((php("Recoverable fatal error", "Object of class X", markup=on), Remedy.RETRY) for on in (0, 1)),
    *(
        (php("Warning", "move_uploaded_file(t/a.part1): Failed to open stream", markup=on), Remedy.RETRY)
        for on in (0, 1)
    ),
    *(
        (php("Warning", "fopen(temp/a.mp4): Failed to open stream: Permission denied", markup=on), Remedy.RETRY)
        for on in (0, 1)
    ),
    *((php("Warning", "fwrite() expects parameter 1 to be resource", markup=on), Remedy.RETRY) for on in (0, 1)),
    (php("Notice", "fwrite(): Write of 8192 bytes failed with errno=28 No space left on device"), Remedy.RETRY),
    (php("Warning", "file_get_contents(temp/x/a.mp4.part3): Failed to open stream"), Remedy.RETRY),
    (php("Warning", "File upload error - unable to create a temporary file"), Remedy.RETRY),
    (php("Warning", "POST Content-Length of 9437184 bytes exceeds the limit of 8388608 bytes"), Remedy.SMALLER_CHUNKS),
    ("Fatal error: Uncaught Exception", Remedy.RETRY),
    ("PHP Fatal error:  Uncaught Exception: x in /a.php:3", Remedy.RETRY),
    ("Uncaught Exception: x in /a.php:3", Remedy.RETRY),
    ("PHP Uncaught App\\Store\\FullException: x in /a.php:3", Remedy.RETRY),
    ("<b>Fatal error</b>:  Uncaught Exception", Remedy.RETRY),
    ('{"success": true}' + php("Fatal error", "Uncaught Error: no()"), Remedy.RETRY),
    ("<html><body>" + php("Fatal error", "Uncaught Error: no()"), Remedy.RETRY),
    ("<table>\n<tr><th><span style='x'>( ! )</span> Fatal error: Uncaught Error: no()</th></tr></table>", Remedy.RETRY),
    # JSON.
    ('{"error": "disk full"}', Remedy.RETRY),
    ('{"error": true}', Remedy.RETRY),
    ('{"error": 1}', Remedy.RETRY),
    ('{"error": {"message": "disk full"}}', Remedy.RETRY),
    ('{"error": {"code": 102, "message": "Failed to open output stream."}}', Remedy.RETRY),
    ('{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}', Remedy.RETRY),
    ('{"errors": ["too large"]}', Remedy.RETRY),
    ('{"errors": {"file": ["too large"]}}', Remedy.RETRY),
    ('{"success": true, "error": "disk full"}', Remedy.RETRY),
    ('{"success": false}', Remedy.RETRY),
    ('{"success": 0}', Remedy.RETRY),
    ('{"success": 0.0}', Remedy.RETRY),
    ('{"success": "false"}', Remedy.RETRY),
    ('{"success": "False"}', Remedy.RETRY),
    ('{"Success": false, "Message": "no"}', Remedy.RETRY),
    ('{"ok": false}', Remedy.RETRY),
    ('{"OK": 0, "info": "Failed to move uploaded file."}', Remedy.RETRY),
    ('{"status": "error", "info": null}', Remedy.RETRY),
    ('{"status": "FAILED"}', Remedy.RETRY),
    ('{"status": "Fail", "data": {"title": "too long"}}', Remedy.RETRY),
    ('\ufeff{"error": "x"}', Remedy.RETRY),
    ('\ufeff\n\ufeff {"error": "x"}', Remedy.RETRY),
    ('\xef\xbb\xbf{"error": "x"}', Remedy.RETRY),
    (")]}',\n" + '{"error": "x"}', Remedy.RETRY),
    ('\n\n {\n  "error": "x"\n}\n', Remedy.RETRY),
    ('{"success": false}0', Remedy.RETRY),
    ('<pre style="white-space: pre">{"success": false}</pre>', Remedy.RETRY),
    ('<textarea>\n{"error": "x"}</textarea>', Remedy.RETRY),
    ('/**/jQuery1_2({"success": false});', Remedy.RETRY),
    ('app.done( {"error": "x"} )', Remedy.RETRY),
    ('{"error": "no space\nleft on device"}', Remedy.RETRY),
    (json.dumps(json.dumps({"error": "x"})), Remedy.RETRY),
    (php("Notice", "Undefined index: x") + '{"success": false}', Remedy.RETRY),
    (php("Notice", "Undefined index: x", markup=False) + '{\n"error": "x"\n}', Remedy.RETRY),
    ('{"csrf_expired":true, "token": "x"}', Remedy.RENEWAL),
    ('{ "csrf_expired" : true }', Remedy.RENEWAL),
    ('{"data":"Error storing file"}', Remedy.RETRY),
    ('{"error": "x"}'.encode("utf-16").decode("utf-8", "replace"), Remedy.RETRY),
    # Others.
    ('<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code></Error>', Remedy.RETRY),
    ('Traceback (most recent call last):\n  File "a.py", line 1\nOSError', Remedy.RETRY),
    ("<?php\nif (!empty($_FILES)) {", Remedy.NONE),
    ("#!/usr/bin/perl\nuse CGI;", Remedy.NONE),
    ('<%@ Page Language="C#" %>', Remedy.NONE),
]


@pytest.mark.parametrize(("body", "remedy"), REFUSALS, ids=lambda value: value[:40] if isinstance(value, str) else "")
def test_a_body_that_says_so_is_a_refusal(body: str, remedy: Remedy) -> None:
    found = judge(body)
    assert (found.acceptance, found.remedy) == (Acceptance.REFUSED, remedy)
    assert found.reason.startswith("but it says ")
    assert judge(body, cut=True) == found


UNPROVEN = [
    (PAGE.format(1, 8), Remedy.RETRY),
    ("<!DOCTYPE html>\n<html></html>", Remedy.RETRY),
    ("\n <HTML lang=en>", Remedy.RETRY),
    ("\ufeff<!doctype HTML PUBLIC '-//W3C//DTD XHTML 1.0//EN'><html>", Remedy.RETRY),
    ('<?xml version="1.0"?>\n<!-- a - b -->\n<!DOCTYPE html>', Remedy.RETRY),
    ("<head><title>502</title></head>", Remedy.RETRY),
    ("<script>location = '/login'</script>", Remedy.RETRY),
    ("<h1>Service unavailable</h1>", Remedy.RETRY),
    ("<div><form action='/login'></form></div>", Remedy.RETRY),
    ("Your session has expired.\n<!DOCTYPE html><html></html>", Remedy.RETRY),
    (LOGIN, Remedy.RENEWAL),
    (LOGIN.encode("utf-16").decode("utf-8", "replace"), Remedy.RENEWAL),
    ('<div class=dialog><input TYPE = "password"></div>', Remedy.RENEWAL),
    (php("Notice", "Undefined index: x") + LOGIN, Remedy.RENEWAL),
    *((php("Notice", "Undefined index: x", markup=on), Remedy.RETRY) for on in (0, 1)),
    *((php("Deprecated", "fopen(): Passing null to parameter #1", markup=on), Remedy.RETRY) for on in (0, 1)),
    *((php("Warning", "Undefined array key 3", markup=on), Remedy.RETRY) for on in (0, 1)),
    (php("Warning", "fopen(upload_log.txt): Failed to open stream: Permission denied"), Remedy.RETRY),
    (php("Warning", "file_put_contents(upload.log): Failed to open stream: Permission denied"), Remedy.RETRY),
    ("<p>Please <a class=x href='/user/login?next=/'>log in</a>.</p>", Remedy.RETRY),
    ('<a href="/sign-in">Found</a>.', Remedy.RETRY),
    (php("Warning", "Undefined array key 3") + '{"success": true}', Remedy.RETRY),
    ('{"success": true}' + php("Warning", "Undefined array key 3"), Remedy.RETRY),
    # jQuery File Upload, RFC 9457, NestJS, and AWS Lambda.
    ('{"files": [{"name": "a.bin", "size": 3, "error": "Filetype not allowed"}]}', Remedy.RETRY),
    ('{"type": "about:blank", "title": "Forbidden", "status": 403}', Remedy.RETRY),
    ('{"statusCode": 503, "message": "no space"}', Remedy.RETRY),
    ('{"errorType": "OSError", "errorMessage": "no space"}', Remedy.RETRY),
    *((f'{{"{name}": {said}}}', Remedy.RETRY) for name in ("status", "result") for said in ("false", '"Rejected"')),
    ('{"result": "error"}', Remedy.RETRY),
    ('{"status": "denied"}<!-- rendered in 0.3 s -->', Remedy.RETRY),
    ('{"result": false}' + LOGIN, Remedy.RENEWAL),
]


@pytest.mark.parametrize(("body", "remedy"), UNPROVEN, ids=lambda value: value[:40] if isinstance(value, str) else "")
def test_a_page_or_a_notice_proves_nothing(body: str, remedy: Remedy) -> None:
    found = judge(body)
    assert (found.acceptance, found.remedy) == (Acceptance.UNPROVEN, remedy)


@pytest.mark.parametrize("body", ["ok " * 9, '{"success": true, "log": "', "[1, 2"])
def test_a_body_that_was_cut_proves_nothing(body: str) -> None:
    assert judge(body, cut=True).acceptance is Acceptance.UNPROVEN


def test_pages_are_of_one_kind_whatever_numbers_and_names_of_files_are_in_them() -> None:
    kinds = {judge(PAGE.format(number, name)).kind for number, name in [(1, "a.bin"), (17, "video-3.mp4")]}
    assert len(kinds) == 1
    assert judge(LOGIN).kind not in kinds
    long = PAGE.replace("<p>", f"<p>{'menu ' * 500}")
    for page in (PAGE, long):
        kinds.add(judge(page.format(1, "a.bin")).kind)
        for words in ("was not stored", "wasn't stored", "was un-stored", "was st\u00f6red"):
            assert judge(page.replace("was stored", words).format(1, "a.bin")).kind not in kinds
    kinds |= {judge(f'{{"status":"{said}","id":{number}}}').kind for said in ("denied", "invalid") for number in (1, 2)}
    assert len(kinds) == 4


def test_a_reason_is_what_people_see_of_a_page() -> None:
    assert judge(LOGIN).reason == 'a log-in page: "Log in – Example"'
    assert judge("<html><style>p {}</style><p>Please <b>log\nin</b> &amp; retry.</p>").reason == (
        'a web page: "Please log in & retry."'
    )
    assert judge("<html>").reason == "a web page"
    assert judge('{"result":false}').reason == 'JSON that may be a no: {"result": false}'
    assert judge('{"error": "voll \\u00fc"}').reason == 'but it says {"error": "voll ü"}'
    assert judge(php("Parse error", "syntax &lt;error&gt;")).reason == (
        'but it says "Parse error: syntax <error> in /var/www/upload.php on line 126"'
    )
    assert judge("error 1 in file a.bin\r\nmore").reason == 'but it says "error 1 in file a.bin"'


@pytest.mark.once
@given(texts() | st.text('<>!/-{}"[]: \nabhtmlprs', max_size=300), st.booleans())
def test_no_body_breaks_the_judge_and_no_word_of_his_the_line(body: str, cut: bool) -> None:
    found = judge(body, cut=cut)
    assert len(found.reason) < 500
    for said in (found.reason, summary(body)):
        assert said.isprintable()
    if is_web_page(body):
        assert found.acceptance is not Acceptance.ACCEPTED


@pytest.mark.parametrize(
    "piece",
    [
        "<",
        "<!--",
        "<a ",
        "<script",
        "<input type ",
        "{",
        '{"a":',
        '"\\',
        " in on line",
        "Warning: ",
        "\n\n",
        "( ! ) ",
        "[",
        "&amp",
        "<a href=",
        "href=",
        "a.",
        "/**/",
        "it's-",
    ],
)
def test_a_body_made_to_be_slow_is_judged_in_time_that_grows_with_its_length(piece: str) -> None:
    # A quadratic way would take minutes for the longest body that is kept.
    for beginning in ("", "<a ", "<input "):
        judge(beginning + piece * (65_536 // len(piece)), cut=True)
