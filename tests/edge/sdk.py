"""OpenAI's SDK for Python with strict response validation, against the gateway.

Called by sdk_python.test.mjs; prints one JSON line for each claim: {"name", "error"}.
Wants EDGEHOLD_URL, EDGEHOLD_KEY, EDGEHOLD_TEXT (what the upstream says), EDGEHOLD_LIMITED_KEY (one request a minute).
"""
import json
import os
import traceback

import openai
from pydantic import BaseModel

URL, KEY, TEXT = (os.environ["EDGEHOLD_" + n] for n in ("URL", "KEY", "TEXT"))
MODEL = "gpt-4o-mini"
ASK = dict(model=MODEL, messages=[{"role": "user", "content": "hello"}])


def client(key=KEY):
    return openai.OpenAI(base_url=URL + "/v1", api_key=key, max_retries=0, _strict_response_validation=True)


def plain_answer():
    got = client().chat.completions.create(**ASK)
    assert got.choices[0].message.content == TEXT, got
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens


def raw_answer_has_the_headers():
    raw = client().chat.completions.with_raw_response.create(**ASK)
    assert raw.headers["x-edgehold-provider"] == "up1", raw.headers
    assert raw.parse().choices[0].finish_reason == "stop"


def stream_without_usage():
    chunks = list(client().chat.completions.create(stream=True, **ASK))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == TEXT
    assert all(c.usage is None and len(c.choices) == 1 for c in chunks)


def stream_with_usage():
    chunks = list(client().chat.completions.create(stream=True, stream_options={"include_usage": True}, **ASK))
    assert chunks[-1].usage.completion_tokens == len(TEXT.split(" ")), chunks[-1]
    assert chunks[-1].choices == []


def stream_helper():
    with client().chat.completions.stream(**ASK) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds, kinds
    assert final.choices[0].message.content == TEXT


def async_stream():
    import asyncio

    async def go():
        a = openai.AsyncOpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0, _strict_response_validation=True)
        stream = await a.chat.completions.create(stream=True, **ASK)
        return "".join([c.choices[0].delta.content or "" async for c in stream])

    assert asyncio.run(go()) == TEXT


def structured_output_is_passed_on():
    class Person(BaseModel):
        name: str

    try:
        client().chat.completions.parse(response_format=Person, **ASK)
    except Exception as e:  # the fake upstream answers prose: the schema arrived, the parsing of prose fails
        assert type(e).__name__ == "ValidationError", repr(e)
    else:
        raise AssertionError("prose was parsed")


def models_list():
    ids = [m.id for m in client().models.list()]
    assert any(MODEL in i for i in ids), ids


def raises(kind, status, code, call):
    try:
        call()
    except kind as e:
        assert (e.status_code, e.code) == (status, code), (e.status_code, e.code, e.message)
        assert e.response.headers["x-edgehold-request-id"]
        return e
    raise AssertionError("nothing was raised")


def authentication_error():
    raises(openai.AuthenticationError, 401, "invalid_api_key", lambda: client("eh_nope").chat.completions.create(**ASK))
    raises(openai.AuthenticationError, 401, "invalid_api_key", lambda: client("sk-other").models.list())


def not_found_error():
    raises(openai.NotFoundError, 404, "model_not_found", lambda: client().chat.completions.create(**{**ASK, "model": "nope"}))


def bad_request_error():
    e = raises(openai.BadRequestError, 400, "invalid_type", lambda: client().chat.completions.create(**{**ASK, "messages": {"a": 1}}))
    assert e.param == "messages", e.param


def rate_limit_error():
    limited = client(os.environ["EDGEHOLD_LIMITED_KEY"])
    limited.chat.completions.create(**ASK)
    e = raises(openai.RateLimitError, 429, "rate_limit_exceeded", lambda: limited.chat.completions.create(**ASK))
    assert int(e.response.headers["retry-after"]) >= 1


CLAIMS = [plain_answer, raw_answer_has_the_headers, stream_without_usage, stream_with_usage, stream_helper, async_stream,
          structured_output_is_passed_on, models_list, authentication_error, not_found_error, bad_request_error, rate_limit_error]
for claim in CLAIMS:
    error = None
    try:
        claim()
    except BaseException:
        error = traceback.format_exc()
    print(json.dumps({"name": claim.__name__.replace("_", " "), "error": error}), flush=True)
