"""Frameworks for Python against the gateway: LangChain, LlamaIndex, instructor, OpenAI's Agents.

Called by run.mjs; prints one JSON line for each claim: {"client", "version", "model", "what", "error"}. Wants
EDGEHOLD_URL, EDGEHOLD_KEY, EDGEHOLD_MODELS (JSON list), EDGEHOLD_SYSTEM.
"""
import asyncio
import json
import os
import traceback
from importlib.metadata import version

import instructor
import openai
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

URL, KEY, SYSTEM = (os.environ["EDGEHOLD_" + n] for n in ("URL", "KEY", "SYSTEM"))
MODELS = json.loads(os.environ["EDGEHOLD_MODELS"])
HELLO, WEATHER, PERSON = "hello", "weather in Paris?", "who is that person?"
GREETING, REPORT, RESULT = "Grüße from a modèle 🌍 that streams.", "It is 21C in Paris.", "21 degrees"
set_tracing_disabled(True)


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


BOB = Person(name="Bob", age=42)


def weather(city: str) -> str:
    """The weather of a city."""
    assert city == "Paris", city
    return RESULT


def equal(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


class LangChain:
    def __init__(self, model):
        self.model, self.name = self.make(model), model.split("/")[0]

    asked = staticmethod(lambda text: [SystemMessage(SYSTEM), HumanMessage(text)])

    def chat(self):
        got = self.model.invoke(self.asked(HELLO))
        equal((got.text, got.usage_metadata["input_tokens"], got.usage_metadata["output_tokens"]), (GREETING, 50, 9))

    def stream(self):
        whole = None
        for chunk in self.model.stream(self.asked(HELLO)):
            whole = chunk if whole is None else whole + chunk
        counted = (whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"])
        # LangChain takes what Anthropic counts at the end of a stream; there the fake, unlike Anthropic, has no input.
        equal((whole.text, counted), (GREETING, (0, 9) if (self.client, self.name) == ("langchain-anthropic", "ant") else (50, 9)))

    def tool_loop(self):
        bound = self.model.bind_tools([tool("get_weather")(weather)])
        messages = self.asked(WEATHER)
        called = bound.invoke(messages)
        (call,) = called.tool_calls
        equal((call["name"], call["args"]), ("get_weather", {"city": "Paris"}))
        equal(bound.invoke([*messages, called, ToolMessage(weather(**call["args"]), tool_call_id=call["id"], name=call["name"])]).text, REPORT)

    def structured(self):
        equal(self.model.with_structured_output(Person, method="json_schema").invoke(self.asked(PERSON)), BOB)


class LangChainOpenAI(LangChain):
    client, package = "langchain-openai, chat", "langchain-openai"
    make = staticmethod(lambda model: ChatOpenAI(model=model, base_url=URL + "/v1", api_key=KEY, max_retries=0, stream_usage=True))


class LangChainResponses(LangChain):
    client, package = "langchain-openai, Responses", "langchain-openai"
    make = staticmethod(lambda model: ChatOpenAI(model=model, base_url=URL + "/v1", api_key=KEY, max_retries=0, use_responses_api=True))


class LangChainAnthropic(LangChain):
    client = package = "langchain-anthropic"
    make = staticmethod(lambda model: ChatAnthropic(model=model, base_url=URL, api_key=KEY, max_retries=0, max_tokens=2000))


class LangChainGoogle(LangChain):
    client = package = "langchain-google-genai"
    make = staticmethod(lambda model: ChatGoogleGenerativeAI(model=model, base_url=URL, google_api_key=KEY, max_retries=1))


class LlamaIndex:
    client, package = "LlamaIndex, openai-like", "llama-index-llms-openai-like"

    def __init__(self, model):
        self.model = OpenAILike(model=model, api_base=URL + "/v1", api_key=KEY, is_chat_model=True, is_function_calling_model=True, should_use_structured_outputs=True, max_retries=0)

    asked = staticmethod(lambda text: [ChatMessage(role="system", content=SYSTEM), ChatMessage(role="user", content=text)])

    def chat(self):
        equal(self.model.chat(self.asked(HELLO)).message.content, GREETING)

    def stream(self):
        equal("".join(chunk.delta or "" for chunk in self.model.stream_chat(self.asked(HELLO))), GREETING)

    def tool_loop(self):
        got = self.model.predict_and_call([FunctionTool.from_defaults(weather, name="get_weather")], user_msg=WEATHER)
        equal(str(got), RESULT)

    def structured(self):
        equal(self.model.structured_predict(Person, PromptTemplate(PERSON)), BOB)


class Instructor:
    client, package = "instructor, JSON_SCHEMA", "instructor"

    def __init__(self, model):
        self.asked = dict(model=model, messages=[{"role": "user", "content": PERSON}], response_model=Person, max_retries=1)
        self.model = instructor.from_openai(openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0), mode=instructor.Mode.JSON_SCHEMA)

    def structured(self):
        equal(self.model.chat.completions.create(**self.asked).model_dump(), BOB.model_dump())

    def stream(self):
        equal(list(self.model.chat.completions.create_partial(**self.asked))[-1].model_dump(), BOB.model_dump())


class Agents:
    package = "openai-agents"

    def __init__(self, model):
        self.model = self.kind(model, openai.AsyncOpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0))

    def agent(self, **more):
        return Agent(name="it", instructions=SYSTEM, model=self.model, **more)

    def chat(self):
        got = asyncio.run(Runner.run(self.agent(), HELLO))
        equal((got.final_output, got.context_wrapper.usage.input_tokens, got.context_wrapper.usage.output_tokens), (GREETING, 50, 9))

    def stream(self):
        async def go():
            run = Runner.run_streamed(self.agent(tools=[function_tool(weather, name_override="get_weather")]), WEATHER)
            async for _ in run.stream_events():
                pass
            return run.final_output

        equal(asyncio.run(go()), REPORT)

    def tool_loop(self):
        equal(asyncio.run(Runner.run(self.agent(tools=[function_tool(weather, name_override="get_weather")]), WEATHER)).final_output, REPORT)

    def structured(self):
        equal(asyncio.run(Runner.run(self.agent(output_type=Person), PERSON)).final_output, BOB)


class AgentsChat(Agents):
    client, kind = "openai-agents, chat", OpenAIChatCompletionsModel


class AgentsResponses(Agents):
    client, kind = "openai-agents, Responses", OpenAIResponsesModel


for kind in (LangChainOpenAI, LangChainResponses, LangChainAnthropic, LangChainGoogle, LlamaIndex, Instructor, AgentsChat, AgentsResponses):
    for model in MODELS:
        for what in ("chat", "stream", "tool_loop", "structured"):
            if not hasattr(kind, what):
                continue
            error = None
            try:
                getattr(kind(model), what)()
            except BaseException:
                error = traceback.format_exc()
            print(json.dumps({"client": kind.client, "version": version(kind.package), "model": model, "what": what, "error": error}), flush=True)
