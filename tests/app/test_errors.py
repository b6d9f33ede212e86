"""Error pages and error fragments."""

from flask.testing import FlaskClient


def test_an_unknown_address_answers_with_a_page_that_leads_on(client: FlaskClient) -> None:
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text
    assert 'href="/"' in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_an_error_in_a_fragment_goes_to_the_toast_area_and_is_no_page(client: FlaskClient) -> None:
    answer = client.get("/nowhere", headers={"HX-Request": "true"})
    assert answer.status_code == 404
    assert answer.headers["hx-retarget"] == "#toasts"
    assert 'id="error"' in answer.text
    assert "<html" not in answer.text


def test_the_style_sheet_page_is_not_there_outside_development(client: FlaskClient) -> None:
    assert client.get("/styleguide").status_code == 404
