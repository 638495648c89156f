"""What a key may ask for, listed by the SDKs of OpenAI, Anthropic and Google; their types validate strictly.

Called by models.test.mjs; prints a JSON object of lists of names. Wants EDGEHOLD_URL, EDGEHOLD_KEY.
"""
import json
import os

import anthropic
import openai
from google import genai

URL, KEY, ONE = os.environ["EDGEHOLD_URL"], os.environ["EDGEHOLD_KEY"], "openai/gpt-4o-mini"


def strict(model):
    """As it is, if its own type takes it."""
    type(model).model_validate(model.model_dump())
    return model


chat = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
messages = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
content = genai.Client(api_key=KEY, http_options={"base_url": URL})
assert strict(chat.models.retrieve(ONE)).id == ONE
one = strict(messages.models.retrieve(ONE))
assert (one.display_name, one.max_input_tokens, one.max_tokens, one.created_at.year) == (ONE, 128000, 16384, 1970), one
one = strict(content.models.get(model=ONE))
assert (one.name, one.input_token_limit, one.output_token_limit) == (f"models/{ONE}", 128000, 16384), one
for sdk, ask in ((openai, chat.models), (anthropic, messages.models)):
    try:
        ask.retrieve("nobody")
        raise AssertionError("found")
    except sdk.NotFoundError:
        pass
print(json.dumps({
    "openai": [strict(model).id for model in chat.models.list()],
    "anthropic": [strict(model).id for model in messages.models.list(limit=30)],
    "google": [strict(model).name.removeprefix("models/") for model in content.models.list(config={"page_size": 30})],
}))
