"""The REST API: what it answers, what it refuses, and in which words."""

import base64
import json
import socket
import tempfile
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from hostile import BROKEN, Broken, encode, photo
from tamperscope.web import schemas
from tamperscope.web.answers import SECURITY_HEADERS
from tamperscope.web.app import LOCALIZE_QUERY
from tamperscope.web.config import MethodChoice
from web.service import Running, config, picture, pixels_of, problem, running, truth


def test_a_form_is_answered_with_the_mask(service: Running) -> None:
    response = service.send(picture(), name="../../etc/holiday.png")
    assert response.status_code == 200
    answer = schemas.Localized.model_validate(response.json())
    assert answer.name == "holiday.png"
    assert answer.method == "bright"
    assert answer.map_kind == "saliency"
    assert answer.map_top == 1
    assert answer.explanation.caution is None
    assert answer.size == schemas.Size(height=48, width=64)
    assert answer.forged_fraction == pytest.approx(truth().mean())
    assert answer.verdict.startswith("suspicious region: 6.2 % of the picture")
    assert "It is not the probability" in answer.explanation.score
    assert answer.explanation.limits == "It knows nothing of forgery."
    assert answer.mask is not None
    assert answer.mask.format == "png"
    assert np.array_equal(pixels_of(answer.mask.base64) == 255, truth())
    assert (answer.map, answer.overlay, answer.picture, answer.report) == (None,) * 4
    assert response.headers["Server-Timing"].startswith("queue;dur=")


def test_a_turned_picture_is_answered_with_its_turn(service: Running) -> None:
    assert service.send(picture()).json()["orientation"] == 1
    exif = PILImage.Exif()
    exif[0x0112] = 6
    answer = service.send(encode(np.zeros((48, 64, 3), np.uint8), "WEBP", exif=exif)).json()
    assert answer["orientation"] == 6
    assert answer["size"] == {"height": 64, "width": 48}


def test_json_is_answered_like_a_form(service: Running) -> None:
    body = {"image": base64.b64encode(picture()).decode(), "name": "a.png"}
    as_json = service.client.post("/v1/localize", json=body).json()
    as_form = service.send(picture(), name="a.png").json()
    for answer in (as_json, as_form):
        del answer["record"]["provenance"]["notes"]["pid"]
    assert as_json == as_form


def test_everything_can_be_asked_for(service: Running) -> None:
    wanted = ["map", "overlay", "picture", "report"]
    answer = service.send(picture((48, 64)), method="dark", include=wanted, max_side=32).json()
    schemas.Localized.model_validate(answer)
    levels = pixels_of(answer["map"])
    assert levels.shape == (24, 32)
    assert levels.max() == round(255 * (1 - 40 / 255))
    assert pixels_of(answer["overlay"]).shape == (24, 32, 3)
    assert pixels_of(answer["picture"]).shape == (24, 32, 3)
    assert pixels_of(answer["mask"]["base64"]).shape == (48, 64)
    assert answer["report"].startswith("<!doctype html>")
    assert answer["parts"] == [
        {"name": "mouth", "value": 0.75},
        {"name": "left eye", "value": 0.5},
    ]
    assert answer["copied"] == [{"boxes": [[2, 3, 6, 8], [20, 30, 24, 35]]}]
    assert "twice" in answer["verdict"]


def test_a_map_of_small_numbers_says_what_its_levels_stand_for() -> None:
    with running(config(methods=(MethodChoice(name="faint"),))) as service:
        answer = service.send(picture(), include=["map"]).json()
    assert answer["map_kind"] == "fakeness"
    assert answer["map_top"] == pytest.approx(0.14)  # twice the threshold: above the highest score
    levels = pixels_of(answer["map"])
    assert levels.max() / 255 * answer["map_top"] == pytest.approx(0.1 * 250 / 255, abs=0.001)
    assert answer["explanation"]["caution"].startswith("The method sees no face in this picture.")


def test_a_mask_as_run_lengths_is_cocos(service: Running) -> None:
    mask = service.send(picture(), mask="rle").json()["mask"]
    assert mask["format"] == "rle"
    values = np.repeat(np.arange(len(mask["counts"])) % 2, mask["counts"])
    assert np.array_equal(values.reshape(mask["size"], order="F").astype(bool), truth())
    dark = service.send(picture(), mask="rle", method="dark").json()["mask"]
    assert dark["counts"][0] == 0
    assert service.send(picture(), mask="none").json()["mask"] is None


def test_methods_say_what_they_are(service: Running) -> None:
    answer = schemas.Methods.model_validate(service.client.get("/v1/methods").json())
    assert answer.default == "bright"
    assert [(m.name, m.available, m.reason) for m in answer.methods] == [
        ("bright", True, None),
        ("dark", True, None),
    ]
    assert [m.faces for m in answer.methods] == [False, True]
    assert answer.limits.max_bytes == 2 << 20
    assert answer.limits.workers == 2


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_hostile_files_get_a_typed_error(service: Running, broken: Broken) -> None:
    response = service.send(broken.data, name="x.png")
    code, message = problem(response)
    assert code.startswith("image_")
    assert "bytes:" not in message


def test_refusals_say_the_remedy(service: Running) -> None:
    cases = [
        (service.send(b""), "image_empty", "the file is empty (0 bytes); get the file again"),
        (
            service.send(b"hello"),
            "image_unsupported",
            "the file is not a picture; give a JPEG",
        ),
        (
            service.send(picture((1001, 1000))),
            "image_too_large",
            "1000 x 1001 is 1,001,000 pixels, more than the limit of 1,000,000; make it smaller",
        ),
        (
            service.send(b"x" * (2 << 20) + b"x"),
            "file_too_large",
            "files of at most 2,097,152 bytes are taken; send a smaller one",
        ),
        (
            service.send(picture(), method="brigth"),
            "unknown_method",
            "unknown method 'brigth'; did you mean 'bright'? known: bright, dark",
        ),
        (service.send(picture(), mask="jpeg"), "invalid_request", "mask: Input should be 'png'"),
        (
            service.send(picture(), methd="bright"),
            "invalid_request",
            "unknown query key 'methd'; did you mean 'method'? known: include, mask, max_side, ",
        ),
        (
            service.client.get("/v1/methods?page=2"),
            "invalid_request",
            "unknown query key 'page'; known: none",
        ),
        (service.client.get("/v1/nothing"), "not_found", "Not Found; see /openapi.json"),
        (service.client.get("/v1/localize"), "method_not_allowed", "Method Not Allowed; see"),
    ]
    for response, code, message in cases:
        found = problem(response)
        assert found[0] == code
        assert found[1].startswith(message)


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"{", "application/json", "the body is not JSON"),
        (b"[" * 200, "application/json", "the body is not JSON"),
        # Parsed, each of these would take many times its own size.
        *(
            (b"[" + part * 1000 + b"0]", "application/json", "the JSON body has more in it than")
            for part in (b"[],", b"{},", b"[", b'"ab",', b"1e1,")
        ),
        (b"{" + b'"aa":1,' * 1000 + b'"b":2}', "application/json", "the JSON body has"),
        (b"\xff", "application/json", "the body is not JSON"),
        (b"[]", "application/json", "the JSON body needs a field 'image' with the file in base64"),
        (b'{"image": "%%%"}', "application/json", "field 'image' is not base64"),
        (b'{"image": "\xc3\xa4"}', "application/json", "field 'image' is not base64"),
        (b'{"image": "", "name": 3}', "application/json", "field 'name' must be text"),
        (
            b'{"image": "", "path": "/etc/passwd"}',
            "application/json",
            "the JSON body has unknown fields ['path']; known: image, name",
        ),
        (b"", "multipart/form-data", "the multipart body cannot be read (Missing boundary"),
        (b"junk", "multipart/form-data; boundary=x", "the multipart body"),
        (
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--x--\r\n',
            "multipart/form-data; boundary=x; charset=undefined",
            "the multipart body cannot be read (",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            "the multipart body has no file in its field 'file'; send one",
        ),
    ],
)
def test_malformed_bodies_are_named(service: Running, body: bytes, kind: str, message: str) -> None:
    response = service.client.post("/v1/localize", content=body, headers={"Content-Type": kind})
    code, found = problem(response)
    assert code == "invalid_request"
    assert found.startswith(message)


def test_other_content_types_are_refused(service: Running) -> None:
    response = service.client.post("/v1/localize", content=picture())
    assert problem(response) == (
        "unsupported_content_type",
        "content type 'none' is not taken: send multipart/form-data with a field 'file', or "
        "application/json with a field 'image'",
    )


def test_a_body_without_a_length_is_limited_too(service: Running) -> None:
    def chunks() -> Any:
        yield b'{"image": "'
        for _ in range(60):
            yield b"A" * 65536

    headers = {"Content-Type": "application/json"}
    response = service.client.post("/v1/localize", content=chunks(), headers=headers)
    assert problem(response)[0] == "file_too_large"


def test_an_upload_does_not_pass_through_a_disk(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[object] = []
    monkeypatch.setattr(
        tempfile.SpooledTemporaryFile, "rollover", lambda file: written.append(file)
    )
    assert problem(service.send(b"x" * (2 << 20)))[0] == "image_unsupported"
    assert not written


def begun_upload(service: Running) -> socket.socket:
    """A connection that has announced more than it has sent."""
    host, port = service.address.removeprefix("http://").split(":")
    line = socket.create_connection((host, int(port)), timeout=10)
    line.sendall(
        b"POST /v1/localize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        b"Content-Type: application/json\r\n\r\n{"
    )
    return line


def test_who_leaves_during_the_upload_is_no_failure_of_ours(
    service: Running, caplog: pytest.LogCaptureFixture
) -> None:
    requests = 'tamperscope_http_requests_total{path="/v1/localize",status="%d"}'
    before = service.number(requests % 499), service.number(requests % 500)
    begun_upload(service).close()
    service.wait(lambda: service.number(requests % 499) == before[0] + 1)
    assert service.number(requests % 500) == before[1]
    assert "a request failed" not in caplog.text


def test_a_slow_upload_is_cut_off() -> None:
    with running(config(upload_limit=0.3)) as service:
        service.wait_until_ready()
        with begun_upload(service) as line:
            line.settimeout(20)
            answer = line.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408")


# --- who may ask ------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "["])
def test_another_name_for_the_service_is_refused(service: Running, host: str) -> None:
    response = service.client.get("/v1/methods", headers={"Host": host})
    code, message = problem(response)
    assert code == "wrong_host"
    assert "use its address, or start it with --allow-host" in message


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:9", "LOCALHOST:1"])
def test_names_of_this_machine_are_known(service: Running, host: str) -> None:
    assert service.client.get("/healthz", headers={"Host": host}).json() == {"status": "ok"}


def test_other_sites_pages_are_refused(service: Running) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[x"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        response = service.client.post("/v1/localize", headers=headers, files={"file": b"x"})
        assert problem(response)[0] == "cross_origin"
    own = {"Origin": service.address, "Sec-Fetch-Site": "same-origin"}
    response = service.client.post("/v1/localize", headers=own, files={"file": picture()})
    assert response.status_code == 200


def test_a_token_is_asked_for_everywhere_but_at_the_door() -> None:
    token = "t" * 20
    with running(config(token=token, allowed_hosts=("pictures.example",))) as service:
        service.wait_until_ready()
        for path in ("/", "/static/main.js", "/healthz", "/openapi.json"):
            assert service.client.get(path).status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": token}):
            for path in ("/v1/methods", "/metrics", "/nothing"):
                response = service.client.get(path, headers=headers)
                assert problem(response) == (
                    "unauthorized",
                    "send the service's token as 'Authorization: Bearer TOKEN'",
                )
                assert response.headers["WWW-Authenticate"] == "Bearer"
        assert problem(service.send(picture()))[0] == "unauthorized"
        right = {"Authorization": f"Bearer {token}", "Host": "pictures.example"}
        assert service.client.get("/v1/methods", headers=right).status_code == 200


def test_every_answer_carries_the_security_headers(service: Running) -> None:
    for path in ("/", "/static/app.css", "/v1/methods", "/nothing", "/openapi.json"):
        headers = service.client.get(path).headers
        assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
        assert "server" not in headers
    refused = service.client.get("/", headers={"Host": "evil.example"})
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    assert service.client.get("/v1/methods").headers["Cache-Control"] == "no-store"


def test_an_answer_to_a_bug_carries_them_too_and_is_counted(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = 'tamperscope_http_requests_total{path="/v1/methods",status="500"}'
    before = service.number(broken)
    monkeypatch.setattr(service.pool, "cards", None)
    response = service.client.get("/v1/methods")
    monkeypatch.undo()
    assert problem(response)[0] == "internal_error"
    assert {name: response.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert response.headers["Cache-Control"] == "no-store"
    assert service.number(broken) == before + 1


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/", "/docs"],
)
def test_no_path_leads_to_a_file(service: Running, path: str) -> None:
    assert problem(service.client.get(path))[0] == "not_found"


def test_the_page_is_kept_by_browsers_until_it_changes(service: Running) -> None:
    first = service.client.get("/static/main.js")
    again = service.client.get("/static/main.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert service.client.get("/favicon.ico").headers["Content-Type"] == "image/svg+xml"


# --- for machines that watch ------------------------------------------------------------------


def test_metrics_count_what_happens(service: Running) -> None:
    examined = 'tamperscope_pictures_total{method="bright",outcome="examined"}'
    damaged = 'tamperscope_pictures_total{method="bright",outcome="image_unsupported"}'
    before = service.number(examined), service.number(damaged)
    service.send(picture())
    service.send(b"hello")
    service.client.get("/made/up/by/strangers")
    assert service.number(examined) == before[0] + 1
    assert service.number(damaged) == before[1] + 1
    text = service.client.get("/metrics").text
    assert "tamperscope_workers_ready 2.0" in text
    for path, status in (("/v1/localize", 200), ("/v1/localize", 415), ("/metrics", 200)):
        assert f'tamperscope_http_requests_total{{path="{path}",status="{status}"}}' in text
    assert 'tamperscope_http_requests_total{path="other",status="404"}' in text
    assert "strangers" not in text


def test_metrics_count_those_who_are_turned_away() -> None:
    token = "t" * 20
    with running(config(token=token)) as service:
        assert service.client.get("/v1/methods").status_code == 401
        assert (
            service.client.get("/v1/methods", headers={"Host": "evil.example"}).status_code == 421
        )
        other = {"Origin": "https://evil.example"}
        assert service.client.post("/v1/localize", headers=other).status_code == 403
        service.client.headers["Authorization"] = f"Bearer {token}"
        for path, status in (("/v1/methods", 401), ("/v1/methods", 421), ("/v1/localize", 403)):
            line = f'tamperscope_http_requests_total{{path="{path}",status="{status}"}}'
            assert service.number(line) == 1


def test_what_a_library_prints_is_no_message(service: Running) -> None:
    assert service.send(picture(first=(249, 0, 0))).status_code == 200


def test_details_of_a_bug_stay_in_the_log(service: Running) -> None:
    code, message = problem(service.send(picture(first=(253, 0, 0))))
    assert code == "examination_failed"
    assert message == (
        "the method failed on this picture (RuntimeError); the log of the service says more"
    )


def test_the_openapi_document_describes_both_bodies(service: Running) -> None:
    document = service.client.get("/openapi.json").json()
    content = document["paths"]["/v1/localize"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    assert "http://" not in json.dumps(document)
    described = document["paths"]["/v1/localize"]["post"]["parameters"]
    assert [one["name"] for one in described] == list(LOCALIZE_QUERY)
    assert "422" in document["paths"]["/v1/methods"]["get"]["responses"]
    assert set(document["paths"]) == {
        "/v1/localize",
        "/v1/methods",
        "/healthz",
        "/readyz",
        "/metrics",
    }


def test_photos_of_every_format_are_read(service: Running) -> None:
    for kind in ("JPEG", "WEBP", "TIFF", "BMP", "GIF"):
        answer = service.send(encode(photo(), kind)).json()
        assert answer["size"] == {"height": 48, "width": 64}
