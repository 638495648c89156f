"""The SDKs for Python when a provider's stream breaks: each raises an error of its own.

Called by broken_streams.test.mjs; prints one JSON line for each claim: {"name", "error"}. Wants what dialects.py wants.
"""
import json
import traceback
from concurrent.futures import ThreadPoolExecutor

import dialects

OWN = {"Chat": "openai", "Responses": "openai", "Messages": "anthropic", "Generate": "google"}


def raises(client, it, model):
    own, says = OWN[client.__name__], "Overloaded" if model.endswith("/error") else "broke off"
    if client is dialects.Responses and model == "oai/error":
        # OpenAI's own error event passes as it is, and OpenAI's helper has no class for it.
        own, says = "builtins", "Didn't receive a `response.completed` event"
    try:
        got = it.stream(model, "hello")
    except Exception as e:
        assert type(e).__module__.split(".")[0] == own, f"{type(e)}: {e}"
        assert says in f"{e} {getattr(e, 'body', '')}", e
        return
    raise AssertionError(f"nothing was raised: {got}")


def make(client):
    dialects.at.calls, it = [], client()
    for model in dialects.MODELS:
        error = None
        try:
            raises(client, it, model)
        except BaseException:
            error = traceback.format_exc()
        with dialects.printing:
            print(json.dumps({"name": f"{client.__name__} → {model}", "error": error}), flush=True)


with ThreadPoolExecutor(4) as threads:
    list(threads.map(make, dialects.CLIENTS))
