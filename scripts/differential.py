#!/usr/bin/env python3
"""What the gateway and LiteLLM make of the same recorded bytes.

    make compare, or .tools/litellm/bin/python scripts/differential.py [FIXTURES]

Each recorded answer or stream is served on loopback, LiteLLM is the client, and what it gives as a chat completion is compared
with what the gateway would give: text, names and parsed arguments of calls, finish reason, totals of tokens. Ids and the cuts of
streams are not compared. The differences and what is thought of them: docs/differential.md.
"""

import base64, json, os, pathlib, struct, subprocess, sys, threading, zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ.setdefault("LITELLM_LOG", "CRITICAL")

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT.parent / "shared" / "fixtures")
DIALECTS = {
    "messages": "anthropic",
    "generateContent": "gemini",
    "streamGenerateContent": "gemini",
    "converse": "bedrock",
    "converse-stream": "bedrock",
    "chat_v2": "cohere",
    "chat": "openai_chat",
}
PROVIDERS = ["anthropic", "gemini", "vertex", "bedrock", "cohere", "mistral", "openai"]
CALLS = {
    "anthropic": dict(model="anthropic/claude-sonnet-4-5"),
    "gemini": dict(model="gemini/gemini-2.5-flash"),
    "bedrock": dict(model="bedrock/converse/anthropic.claude-sonnet-4-5-20250929-v1:0"),
    "cohere": dict(model="cohere_chat/command-a-03-2025"),
    "mistral": dict(model="mistral/mistral-large-latest"),
    "openai_chat": dict(model="openai/gpt-4o"),
}


def frame(event):
    """One event as Amazon's binary event stream has it."""
    (kind, payload), = event.items()
    headers = b""
    for name, value in ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event")):
        headers += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    body = json.dumps(payload, separators=(",", ":")).encode()
    head = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    head += struct.pack(">I", zlib.crc32(head))
    whole = head + headers + body
    return whole + struct.pack(">I", zlib.crc32(whole))


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def cases():
    """(name, provider, dialect, streamed, bytes), one for each recorded answer and stream."""
    for path in sorted(FIXTURES.glob("*/*.json")):
        file = json.loads(path.read_text())
        response = file.get("response") or {}
        dialect = DIALECTS.get(file.get("endpoint"))
        if dialect is None or file["provider"] not in PROVIDERS or response["status"] != 200:
            continue
        name, provider = f"{file['provider']}/{path.stem}", file["provider"]
        if response.get("body") is not None:
            yield name, provider, dialect, False, compact(response["body"]).encode()
        elif response.get("body_text") is not None:
            yield name, provider, dialect, True, response["body_text"].encode()
        elif response.get("body_base64") is not None:
            yield name, provider, dialect, True, base64.b64decode(response["body_base64"])
        else:
            streams, framing = [], response["framing"]
            for event in response["events"]:
                if not streams or event.get("type") == "message_start":
                    streams.append(b"")
                if framing == "aws-eventstream-json":
                    streams[-1] += frame(event)
                elif framing == "sse-named-event":
                    streams[-1] += f"event: {event['type']}\ndata: {compact(event)}\n\n".encode()
                else:
                    streams[-1] += f"data: {compact(event)}\n\n".encode()
            done = b"data: [DONE]\n\n" if framing == "sse-data-done" else b""
            for number, stream in enumerate(streams):
                yield f"{name}#{number}" if len(streams) > 1 else name, provider, dialect, True, stream + done


def arguments(text):
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return text
    return {} if value is None else value


def essence(message, finish, usage):
    usage = usage or {}
    return {
        "text": (message.get("content") or "") + (message.get("refusal") or ""),
        "calls": [
            [call["function"]["name"], arguments(call["function"]["arguments"])]
            for call in message.get("tool_calls") or []
            if call.get("function")
        ],
        "finish": finish,
        "usage": [usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0],
    }


def of_stream(text):
    """A chat stream put together."""
    message, finish, usage, error = {"content": "", "refusal": "", "tool_calls": []}, None, None, None
    calls = {}
    for line in text.splitlines():
        if not line.startswith("data: ") or line == "data: [DONE]":
            continue
        chunk = json.loads(line[6:])
        error = chunk.get("error") or error
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices") or []:
            if choice["index"] != 0:
                continue
            finish = choice.get("finish_reason") or finish
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            message["refusal"] += delta.get("refusal") or ""
            for call in delta.get("tool_calls") or []:
                own = calls.setdefault(call["index"], {"function": {"name": "", "arguments": ""}})
                own["function"]["name"] += call.get("function", {}).get("name") or ""
                own["function"]["arguments"] += call.get("function", {}).get("arguments") or ""
    message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return {"error": error} if error else essence(message, finish, usage)


def of_gateway(all_cases):
    asked = []
    for _, _, dialect, streamed, data in all_cases:
        body = {"stream": base64.b64encode(data).decode()} if streamed else {"body": data.decode()}
        asked.append(json.dumps({"dialect": dialect, **body}))
    translate = os.environ.get("TRANSLATE", str(ROOT / "target" / "debug" / "examples" / "translate"))
    run = subprocess.run([translate], input="\n".join(asked) + "\n", capture_output=True, text=True, check=True)
    for line in run.stdout.splitlines():
        told = json.loads(line)
        if "error" in told:
            yield {"error": told["error"]}
        elif "stream" in told:
            yield of_stream(told["stream"])
        else:
            choice = told["choices"][0] if told["choices"] else {"message": {}, "finish_reason": None}
            yield essence(choice["message"], choice["finish_reason"], told.get("usage"))


class Recorded(BaseHTTPRequestHandler):
    """Answers everything with the bytes of the case under way."""

    data, kind = b"", "application/json"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200)
        self.send_header("content-type", Recorded.kind)
        self.send_header("content-length", str(len(Recorded.data)))
        self.end_headers()
        self.wfile.write(Recorded.data)

    def log_message(self, *_):
        pass


def of_litellm(all_cases):
    import litellm

    litellm.suppress_debug_info = True
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    places = {
        "anthropic": dict(api_base=base),
        "gemini": dict(api_base=base),
        "bedrock": dict(
            aws_bedrock_runtime_endpoint=base,
            aws_access_key_id="a",
            aws_secret_access_key="b",
            aws_region_name="us-east-1",
        ),
        "cohere": dict(api_base=f"{base}/v2/chat"),
        "mistral": dict(api_base=f"{base}/v1"),
        "openai_chat": dict(api_base=f"{base}/v1"),
    }
    for _, provider, dialect, streamed, data in all_cases:
        binary = dialect == "bedrock"
        streaming = "application/vnd.amazon.eventstream" if binary else "text/event-stream"
        Recorded.data, Recorded.kind = data, streaming if streamed else "application/json"
        who = "mistral" if provider == "mistral" else dialect
        call = dict(messages=[{"role": "user", "content": "x"}], num_retries=0, max_retries=0, timeout=20, **CALLS[who], **places[who])
        if dialect != "bedrock":
            call["api_key"] = "k"
        try:
            if streamed:
                chunks = list(litellm.completion(stream=True, stream_options={"include_usage": True}, **call))
                whole = litellm.stream_chunk_builder(chunks)
            else:
                whole = litellm.completion(**call)
            told = whole.model_dump()
            choice = told["choices"][0]
            yield essence(choice["message"], choice["finish_reason"], told.get("usage"))
        except Exception as error:  # Whatever it raises is its answer.
            yield {"error": f"{type(error).__name__}: {error}"[:200]}
    server.shutdown()


def main():
    all_cases = list(cases())
    ours, theirs = list(of_gateway(all_cases)), list(of_litellm(all_cases))
    assert len(ours) == len(theirs) == len(all_cases)
    counts, differences = {}, []
    for (name, provider, _, streamed, _), own, other in zip(all_cases, ours, theirs):
        kind = (provider, "streams" if streamed else "answers")
        row = counts.setdefault(kind, [0, 0])
        row[0] += 1
        members = [member for member in sorted({*own, *other}) if own.get(member) != other.get(member)]
        row[1] += bool(members)
        for member in ["error"] if "error" in members else members:
            differences.append((name, member, own.get(member, "an answer"), other.get(member, "an answer")))
    print("| provider | what | compared | different |\n|---|---|---|---|")
    for (provider, kind), (compared, different) in sorted(counts.items()):
        print(f"| {provider} | {kind} | {compared} | {different} |")
    print("\n| recording | what | gateway | LiteLLM |\n|---|---|---|---|")
    for name, member, own, other in differences:
        shorten = lambda value: json.dumps(value, ensure_ascii=False)[:160].replace("|", "\\|")
        print(f"| {name} | {member} | {shorten(own)} | {shorten(other)} |")


main()
