"""The SDKs of OpenAI, Anthropic and Google against the gateway, each asking providers of every dialect.

Called by dialects_python.test.mjs; prints one JSON line for each claim: {"name", "error", "calls"}, where calls are the
answers that came: {"id", "status", "model"}. Wants EDGEHOLD_URL, EDGEHOLD_KEY, EDGEHOLD_MODELS (JSON list),
EDGEHOLD_SYSTEM.
"""
import json
import os
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import anthropic
import openai
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

URL, KEY, SYSTEM = (os.environ["EDGEHOLD_" + n] for n in ("URL", "KEY", "SYSTEM"))
MODELS = json.loads(os.environ["EDGEHOLD_MODELS"])
HELLO, WEATHER, PERSON, THINK = "hello", "weather in Paris?", "who is that person?", "think hard"
GREETING, REPORT, THOUGHT = "Grüße from a modèle 🌍 that streams.", "It is 21C in Paris.", "Let me think it over."
RESULT = "21 degrees"
USAGE = (50, 9)
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}

# Of the claim that a thread is at.
at = threading.local()
printing = threading.Lock()


def seen(response):
    at.calls.append({"id": response.headers.get("x-edgehold-request-id"), "status": response.status_code})


class Person(BaseModel):
    name: str
    age: int


class Chat:
    """OpenAI's chat completions."""

    limited, failed, refused = openai.RateLimitError, openai.InternalServerError, openai.BadRequestError
    unauthorized, unknown = openai.AuthenticationError, openai.NotFoundError

    def __init__(self, key=KEY, strict=True):
        http = openai.DefaultHttpxClient(event_hooks={"response": [seen]})
        self.sdk = openai.OpenAI(base_url=URL + "/v1", api_key=key, max_retries=0, http_client=http, _strict_response_validation=strict)

    def asked(self, model, text):
        return dict(model=model, messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}])

    def tools(self):
        return [{"type": "function", "function": {"name": "get_weather", "description": "The weather", "parameters": PARAMETERS, "strict": True}}]

    @staticmethod
    def usage(usage):
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage
        return usage.prompt_tokens, usage.completion_tokens

    def plain(self, model, text):
        got = self.sdk.chat.completions.create(**self.asked(model, text))
        assert got.choices[0].finish_reason == "stop", got
        return got.choices[0].message.content, self.usage(got.usage)

    def stream(self, model, text):
        chunks = list(self.sdk.chat.completions.create(stream=True, stream_options={"include_usage": True}, **self.asked(model, text)))
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
        return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices), self.usage(chunks[-1].usage)

    def tool_loop(self, model, text, streamed):
        ask = {**self.asked(model, text), "tools": self.tools()}
        if streamed:
            with self.sdk.chat.completions.stream(**ask) as stream:
                for _ in stream:
                    pass
                got = stream.get_final_completion()
        else:
            got = self.sdk.chat.completions.create(**ask)
        assert got.choices[0].finish_reason == "tool_calls", got
        message = got.choices[0].message
        (call,) = message.tool_calls
        ask["messages"] += [message.model_dump(exclude_none=True, exclude={"parsed"}), {"role": "tool", "tool_call_id": call.id, "content": RESULT}]
        answer = self.sdk.chat.completions.create(**ask)
        return call.function.name, json.loads(call.function.arguments), answer.choices[0].message.content

    def structured(self, model, text):
        return self.sdk.chat.completions.parse(response_format=Person, **self.asked(model, text)).choices[0].message.parsed

    def think(self, model, text):
        message = self.sdk.chat.completions.create(reasoning_effort="low", **self.asked(model, text)).choices[0].message
        return message.model_extra.get("reasoning_content") or "", message.content

    def think_stream(self, model, text):
        thought = answer = ""
        for chunk in self.sdk.chat.completions.create(stream=True, reasoning_effort="low", **self.asked(model, text)):
            thought += chunk.choices[0].delta.model_extra.get("reasoning_content") or ""
            answer += chunk.choices[0].delta.content or ""
        return thought, answer


class Responses(Chat):
    """OpenAI's Responses."""

    def asked(self, model, text):
        return dict(model=model, instructions=SYSTEM, input=[{"role": "user", "content": text}], store=False)

    def tools(self):
        return [{"type": "function", "name": "get_weather", "description": "The weather", "parameters": PARAMETERS, "strict": True}]

    @staticmethod
    def usage(usage):
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens, usage
        return usage.input_tokens, usage.output_tokens

    def plain(self, model, text):
        got = self.sdk.responses.create(**self.asked(model, text))
        assert got.status == "completed", got
        return got.output_text, self.usage(got.usage)

    def streamed(self, ask):
        with self.sdk.responses.stream(**ask) as stream:
            events = list(stream)
            return events, stream.get_final_response()

    def stream(self, model, text):
        events, final = self.streamed(self.asked(model, text))
        deltas = "".join(e.delta for e in events if e.type == "response.output_text.delta")
        assert deltas == final.output_text, (deltas, final.output_text)
        return deltas, self.usage(final.usage)

    def tool_loop(self, model, text, streamed):
        ask = {**self.asked(model, text), "tools": self.tools()}
        got = self.streamed(ask)[1] if streamed else self.sdk.responses.create(**ask)
        (call,) = [item for item in got.output if item.type == "function_call"]
        items = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in got.output]
        ask["input"] += [*items, {"type": "function_call_output", "call_id": call.call_id, "output": RESULT}]
        return call.name, json.loads(call.arguments), self.sdk.responses.create(**ask).output_text

    def structured(self, model, text):
        return self.sdk.responses.parse(text_format=Person, **self.asked(model, text)).output_parsed

    @staticmethod
    def thoughts(response):
        # Some providers give a summary, others what was thought itself.
        return "".join(part.text for item in response.output if item.type == "reasoning" for part in [*item.summary, *(item.content or [])])

    def think(self, model, text):
        got = self.sdk.responses.create(reasoning={"effort": "low", "summary": "auto"}, **self.asked(model, text))
        return self.thoughts(got), got.output_text

    def think_stream(self, model, text):
        events, final = self.streamed({**self.asked(model, text), "reasoning": {"effort": "low", "summary": "auto"}})
        deltas = "".join(e.delta for e in events if e.type in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"))
        assert deltas == self.thoughts(final), (deltas, final)
        return deltas, final.output_text


class Messages:
    """Anthropic's Messages."""

    limited, failed, refused = anthropic.RateLimitError, anthropic.InternalServerError, anthropic.BadRequestError
    unauthorized, unknown = anthropic.AuthenticationError, anthropic.NotFoundError
    thinking = {"type": "enabled", "budget_tokens": 1024}

    def __init__(self, key=KEY, strict=True):
        http = anthropic.DefaultHttpxClient(event_hooks={"response": [seen]})
        self.sdk = anthropic.Anthropic(base_url=URL, api_key=key, max_retries=0, http_client=http, _strict_response_validation=strict)

    def asked(self, model, text):
        return dict(model=model, system=SYSTEM, max_tokens=2000, messages=[{"role": "user", "content": text}])

    @staticmethod
    def text(message):
        return "".join(block.text for block in message.content if block.type == "text")

    @staticmethod
    def usage(usage):
        return usage.input_tokens, usage.output_tokens

    def plain(self, model, text):
        got = self.sdk.messages.create(**self.asked(model, text))
        assert got.stop_reason == "end_turn", got
        return self.text(got), self.usage(got.usage)

    def stream(self, model, text):
        with self.sdk.messages.stream(**self.asked(model, text)) as stream:
            deltas = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert (deltas, "end_turn") == (self.text(final), final.stop_reason), final
        return deltas, self.usage(final.usage)

    def tool_loop(self, model, text, streamed):
        ask = {**self.asked(model, text), "tools": [{"name": "get_weather", "description": "The weather", "input_schema": PARAMETERS}]}
        if streamed:
            with self.sdk.messages.stream(**ask) as stream:
                got = stream.get_final_message()
        else:
            got = self.sdk.messages.create(**ask)
        assert got.stop_reason == "tool_use", got
        (call,) = [block for block in got.content if block.type == "tool_use"]
        content = [block.model_dump(exclude_none=True, exclude={"parsed_output"}) for block in got.content]
        ask["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": RESULT}]}]
        return call.name, call.input, self.text(self.sdk.messages.create(**ask))

    def structured(self, model, text):
        return self.sdk.messages.parse(output_format=Person, **self.asked(model, text)).parsed_output

    @staticmethod
    def thoughts(message):
        return "".join(block.thinking for block in message.content if block.type == "thinking")

    def think(self, model, text):
        got = self.sdk.messages.create(thinking=self.thinking, **self.asked(model, text))
        return self.thoughts(got), self.text(got)

    def think_stream(self, model, text):
        with self.sdk.messages.stream(thinking=self.thinking, **self.asked(model, text)) as stream:
            final = stream.get_final_message()
        return self.thoughts(final), self.text(final)


class Generate:
    """Google's generateContent."""

    limited, failed, refused = errors.ClientError, errors.ServerError, errors.ClientError
    unauthorized, unknown = errors.ClientError, errors.ClientError

    def __init__(self, key=KEY, strict=True):
        args = {"event_hooks": {"response": [seen]}}
        self.sdk = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=URL, client_args=args))

    def asked(self, model, text, **config):
        return dict(model=model, contents=[types.Content(role="user", parts=[types.Part(text=text)])], config=types.GenerateContentConfig(system_instruction=SYSTEM, **config))

    @staticmethod
    def usage(usage):
        assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count, usage
        return usage.prompt_token_count, usage.candidates_token_count

    def plain(self, model, text):
        got = self.sdk.models.generate_content(**self.asked(model, text))
        assert got.candidates[0].finish_reason == "STOP", got
        return got.text, self.usage(got.usage_metadata)

    def stream(self, model, text):
        chunks = list(self.sdk.models.generate_content_stream(**self.asked(model, text)))
        assert [c.candidates[0].finish_reason for c in chunks if c.candidates][-1] == "STOP", chunks[-1]
        return "".join(c.text or "" for c in chunks), self.usage(chunks[-1].usage_metadata)

    def tool_loop(self, model, text, streamed):
        declared = types.Tool(function_declarations=[{"name": "get_weather", "description": "The weather", "parameters_json_schema": PARAMETERS}])
        off = types.AutomaticFunctionCallingConfig(disable=True)
        ask = self.asked(model, text, tools=[declared], automatic_function_calling=off)
        if streamed:
            parts = [p for c in self.sdk.models.generate_content_stream(**ask) for p in (c.candidates[0].content.parts or [])]
        else:
            parts = self.sdk.models.generate_content(**ask).candidates[0].content.parts
        (call,) = [part.function_call for part in parts if part.function_call]
        result = types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"result": RESULT}))
        ask["contents"] += [types.Content(role="model", parts=parts), types.Content(role="user", parts=[result])]
        return call.name, call.args, self.sdk.models.generate_content(**ask).text

    def automatic(self, model, text):
        def get_weather(city: str) -> str:
            """The weather"""
            assert city == "Paris", city
            return RESULT

        return self.sdk.models.generate_content(**self.asked(model, text, tools=[get_weather])).text

    def structured(self, model, text):
        return self.sdk.models.generate_content(**self.asked(model, text, response_mime_type="application/json", response_schema=Person)).parsed

    @staticmethod
    def split(parts):
        return "".join(p.text or "" for p in parts if p.thought), "".join(p.text or "" for p in parts if not p.thought)

    def think(self, model, text):
        thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
        return self.split(self.sdk.models.generate_content(**self.asked(model, text, thinking_config=thinking)).candidates[0].content.parts)

    def think_stream(self, model, text):
        thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
        chunks = self.sdk.models.generate_content_stream(**self.asked(model, text, thinking_config=thinking))
        return self.split([p for c in chunks if c.candidates for p in (c.candidates[0].content.parts or [])])


def equal(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def raises(kind, status, call, says=None):
    try:
        call()
    except kind as e:
        equal(getattr(e, "status_code", None) or e.code, status)
        assert says is None or says in str(e), f"{says!r} is not in {e!s}"
        return
    raise AssertionError("nothing was raised")


def shown(found, model):
    # The fake of Cohere writes what was thought as text, before the answer; in a block of its own or not.
    if model.startswith("coh/"):
        found = ("", found[0] + found[1])
        equal(found, ("", THOUGHT + "42"))
    else:
        equal(found, (THOUGHT, "42"))


def claims(client):
    for model in MODELS:
        # The fake leaves out required members of what it passes as a whole Response: its answers, not the gateway's.
        it = client(strict=not (client is Responses and model.startswith("oai/")))
        loop = ("get_weather", {"city": "Paris"}, REPORT)
        yield model, "a plain answer", lambda: equal(it.plain(model, HELLO), (GREETING, USAGE))
        yield model, "a stream", lambda: equal(it.stream(model, HELLO), (GREETING, USAGE))
        yield model, "a tool loop", lambda: equal(it.tool_loop(model, WEATHER, False), loop)
        yield model, "a streamed tool loop", lambda: equal(it.tool_loop(model, WEATHER, True), loop)
        if client is Generate:
            yield model, "automatic function calling", lambda: equal(it.automatic(model, WEATHER), REPORT)
        yield model, "structured output", lambda: equal(it.structured(model, PERSON), Person(name="Bob", age=42))
        yield model, "reasoning", lambda: shown(it.think(model, THINK), model)
        yield model, "streamed reasoning", lambda: shown(it.think_stream(model, THINK), model)
        yield model, "429", lambda: raises(it.limited, 429, lambda: it.plain(model, "limit"))
        yield model, "529", lambda: raises(it.failed, 502, lambda: it.plain(model, "overload"))
        # The fake of Bedrock answers errors in Anthropic's form.
        why = "did not say why" if model.startswith("bed/") else "that is wrong of you"
        yield model, "400", lambda: raises(it.refused, 400, lambda: it.plain(model, "wrong"), why)
        yield model, "400 to a stream", lambda: raises(it.refused, 400, lambda: it.stream(model, "wrong"), why)
    yield None, "an unknown key", lambda: raises(client.unauthorized, 401, lambda: client(key="eh_nope").plain(MODELS[0], HELLO), "virtual key")
    yield None, "an unknown model", lambda: raises(client.unknown, 404, lambda: client().plain("nope", HELLO), "nope")


def make(client):
    for model, what, claim in claims(client):
        at.calls, error = [], None
        try:
            claim()
        except BaseException:
            error = traceback.format_exc()
        name = f"{client.__name__}{' → ' + model if model else ''}: {what}"
        with printing:
            print(json.dumps({"name": name, "model": model, "error": error, "calls": at.calls}), flush=True)


CLIENTS = (Chat, Responses, Messages, Generate)
if __name__ == "__main__":
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(make, CLIENTS))
