"""The generated reference pages are those that the code would write now, and every key is explained."""

from pathlib import Path
from typing import Annotated

import jsonschema
import orjson
import pytest
from pydantic import BaseModel, TypeAdapter

from connectors.registry import SLUGS, get
from connectors.sdk import canonical, checks, json_schema, parts
from connectors.sdk.schema.words import EXAMPLES, MEANINGS
from docs import manifest_pages
from docs.generate import pages

DOCS = Path(__file__).resolve().parents[2] / "docs"
KEYS = [(model, name) for model in manifest_pages.models() for name in model.model_fields]


@pytest.mark.parametrize("name", list(pages()))
def test_the_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == pages()[name], "run: python -m docs.generate"


@pytest.mark.parametrize(("model", "name"), KEYS, ids=[f"{model.__name__}.{name}" for model, name in KEYS])
def test_every_key_says_what_it_means_and_shows_an_example_that_fits(model: type[BaseModel], name: str) -> None:
    assert manifest_pages.meaning(model, name), "describe it at its declaration, or in connectors/sdk/schema/words.py"
    text, field = manifest_pages.example(model, name), model.model_fields[name]
    assert text, "give an example in connectors/sdk/schema/words.py"
    kind = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    TypeAdapter(kind).validate_python(manifest_pages.parsed_example(text))


def test_no_words_are_left_over_from_keys_that_are_gone() -> None:
    known = {f"{model.__name__}.{name}" for model, name in KEYS} | {f".{name}" for _, name in KEYS}
    assert set(MEANINGS) | set(EXAMPLES) <= known


@pytest.mark.parametrize("slug", SLUGS)
def test_the_json_schema_takes_our_manifests_and_refuses_strange_keys(slug: str) -> None:
    schema = json_schema()
    data = orjson.loads(canonical(get(slug).manifest))
    jsonschema.validate(data, schema, cls=jsonschema.Draft202012Validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**data, "strange": 1}, schema, cls=jsonschema.Draft202012Validator)


def test_every_check_is_on_its_page() -> None:
    page = (DOCS / "checks.md").read_text()
    for name, about in {**checks.ids(), **parts.ids()}.items():
        assert f"`{name}`" in page
        assert about.endswith("."), name
